"""Which rows a filter allows, from the columns of a segment: no item is made, and Arrow works without the GIL."""

import math
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from index.filters.meaning import fold
from index.filters.syntax import Condition, Filter, Range, Scalar
from index.payload import INT64
from index.payload_columns import Kind, kind_of

Mask = NDArray[np.bool_]  # [N]
Test = Callable[[pa.Array], pa.Array]  # values [n] -> booleans [n], null where the value is


class Columns(Protocol):
    """The values of N rows by key."""

    @property
    def size(self) -> int:
        """N."""

    def values(self, condition: Condition) -> Iterator[tuple[Kind, slice | NDArray[np.uint32], pa.Array]]:
        """The values at the key of a condition, a batch at a time: their kind, their rows [n] and themselves [n]."""


def filter_mask(filter: Filter, columns: Columns) -> Mask:
    """Whether the filter holds for each row [N]: the same as `matches` of its item."""
    mask = np.ones(columns.size, bool)
    for clause in filter.must:
        mask &= _clause_mask(clause, columns)
    if filter.should:
        mask &= np.logical_or.reduce([_clause_mask(clause, columns) for clause in filter.should])
    for clause in filter.must_not:
        mask &= ~_clause_mask(clause, columns)
    return mask


def _clause_mask(clause: Condition | Filter, columns: Columns) -> Mask:
    if isinstance(clause, Filter):
        return filter_mask(clause, columns)
    tests = _tests(clause)
    mask = np.zeros(columns.size, bool)
    for kind, rows, values in columns.values(clause):
        if test := tests.get(kind):
            held = test(values).fill_null(False).to_numpy(zero_copy_only=False)
            if isinstance(rows, slice):
                mask[rows] = held
            else:
                mask[rows[held]] = True
    return ~mask if clause.exists is False else mask


def _tests(condition: Condition) -> dict[Kind, Test]:
    """What is asked of the values of each kind; values of other kinds do not hold."""
    if condition.exists is not None:
        return dict.fromkeys(Kind, pc.is_valid)
    if condition.range is not None:
        return _range_tests(condition.range)
    assert condition.match is not None  # One of the three is there: checked when the condition was made.
    if condition.match.text is not None:
        folded = fold(condition.match.text)
        return {Kind.TEXT: lambda values: pc.match_substring(pc.utf8_lower(values), folded)}
    return _value_tests(condition.match.values or ())


def _value_tests(wanted: tuple[Scalar, ...]) -> dict[Kind, Test]:
    by_kind: dict[Kind, set[Scalar]] = {}
    for value in wanted:
        kind, stored = kind_of(value)
        by_kind.setdefault(kind, set()).add(stored)
    return {kind: _is_one_of(values) for kind, values in by_kind.items()}


def _is_one_of(wanted: set[Scalar]) -> Test:
    if len(wanted) == 1:
        (single,) = wanted
        return lambda values: pc.equal(values, pa.scalar(single, values.type))
    return lambda values: pc.is_in(values, pa.array(list(wanted), values.type))


def _range_tests(bounds: Range) -> dict[Kind, Test]:
    integers, floats = integer_interval(bounds), float_interval(bounds)
    tests = {Kind.FLOAT: _within(*floats)}
    if integers is not None:
        tests[Kind.INTEGER] = _within(*integers)
    return tests


def _within(low: int | float, high: int | float) -> Test:
    return lambda values: pc.and_(
        pc.greater_equal(values, pa.scalar(low, values.type)), pc.less_equal(values, pa.scalar(high, values.type))
    )


def integer_interval(bounds: Range) -> tuple[int, int] | None:
    """The least and greatest integer of 64 bits within the bounds; None where there is none."""
    low, high = INT64.start, INT64.stop - 1
    if bounds.gt is not None:
        low = max(low, math.floor(bounds.gt) + 1)
    if bounds.gte is not None:
        low = max(low, math.ceil(bounds.gte))
    if bounds.lt is not None:
        high = min(high, math.ceil(bounds.lt) - 1)
    if bounds.lte is not None:
        high = min(high, math.floor(bounds.lte))
    return (low, high) if low <= high else None


def float_interval(bounds: Range) -> tuple[float, float]:
    """The least and greatest float within the bounds, which may be integers that no float equals; low > high: none."""
    low, high = -math.inf, math.inf
    if bounds.gt is not None:
        low = max(low, _float_from(bounds.gt, math.inf, strictly=True))
    if bounds.gte is not None:
        low = max(low, _float_from(bounds.gte, math.inf, strictly=False))
    if bounds.lt is not None:
        high = min(high, _float_from(bounds.lt, -math.inf, strictly=True))
    if bounds.lte is not None:
        high = min(high, _float_from(bounds.lte, -math.inf, strictly=False))
    return low, high


def _float_from(bound: int | float, towards: float, *, strictly: bool) -> float:
    """The first float from the bound on; Python compares integers with floats by their exact values."""
    nearest = float(bound)
    beyond = nearest > bound if towards > 0 else nearest < bound
    if beyond or (nearest == bound and not strictly):
        return nearest
    return math.nextafter(nearest, towards)
