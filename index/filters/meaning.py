"""What a filter means for one item, in plain Python: every other way of filtering must agree with it."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from index.filters.syntax import Condition, Filter, Scalar
from index.items import Item
from index.payload import plain_values


def matches(filter: Filter, item: Item) -> bool:
    """Whether a filter holds for an item: the plain meaning, which every other way of filtering must agree with."""
    return (
        all(_holds(clause, item) for clause in filter.must)
        and (not filter.should or any(_holds(clause, item) for clause in filter.should))
        and not any(_holds(clause, item) for clause in filter.must_not)
    )


def fold(text: str) -> str:
    """The text as `match.text` compares it: each character replaced by its lower-case one (Unicode's simple mapping).

    Neither ß and ss nor ς and σ are equal then. Arrow's own tables are asked, so that columns and items agree.
    """
    lower: str = pc.utf8_lower(pa.scalar(text, pa.string())).as_py()
    return lower


def _holds(clause: Condition | Filter, item: Item) -> bool:
    if isinstance(clause, Filter):
        return matches(clause, item)
    values = _values(clause, item)
    if clause.exists is not None:
        return (next(values, None) is not None) == clause.exists
    if clause.range is not None:
        return any(clause.range.holds(value) for value in values if _is_number(value))
    assert clause.match is not None  # One of the three is there: checked when the condition was made.
    if clause.match.text is not None:
        wanted = fold(clause.match.text)
        return any(wanted in fold(value) for value in values if isinstance(value, str))
    wanted_values = clause.match.values or ()
    return any(_equal(value, wanted) for value in values for wanted in wanted_values)


def _values(condition: Condition, item: Item) -> Iterator[Any]:
    if condition.path is None:
        value = getattr(item, condition.key)
        return iter(() if value is None else (value,))
    return (value for path, value in plain_values(item.payload) if path == condition.path)


def _equal(one: Scalar, other: Scalar) -> bool:
    if _is_number(one) and _is_number(other):
        return one == other
    return type(one) is type(other) and one == other


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
