"""Filters as boolean expressions of Milvus: the rows that may match, and whether those are exactly the ones that do.

Milvus cannot fold the case of a text, nor ask whether one number of a list lies between two bounds. Such conditions
become an expression that holds for more rows; those are then compared with the filter one by one (`matching.py`).
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from index.collection.milvus.terms import (
    equals_token,
    highest_key,
    item_path,
    lowest_key,
    payload_path,
    token,
)
from index.filters import Condition, Filter, Range

NOTHING = "born < 0"

# Whether a row that can be seen has one of these tokens.
AnyRowHas = Callable[[Sequence[str]], bool]


@dataclass(frozen=True, slots=True)
class Expression:
    """`text` holds for every row that the filter holds for, None for all rows; `exact`: and for no other."""

    text: str | None
    exact: bool = True


def translate(clause: Condition | Filter, any_row_has: AnyRowHas) -> Expression:
    """The expression of a filter or condition over the fields `terms` and `numbers`."""
    if isinstance(clause, Filter):
        return _filter(clause, any_row_has)
    path = item_path(clause.key) if clause.path is None else payload_path(clause.path)
    if clause.range is not None:
        return _range(clause.range, path, any_row_has)
    exists = has_any([token("exists", path)])
    if clause.exists is not None:
        return Expression(exists if clause.exists else f"not ({exists})")
    values = clause.match.values if clause.match is not None else None
    if values is None:
        return Expression(exists, exact=False)
    return Expression(has_any([equals_token(path, value) for value in values]))


def has_any(tokens: Sequence[str]) -> str:
    """An expression that holds for rows with one of these tokens."""
    return f"array_contains_any(terms, {quoted(tokens)})" if tokens else NOTHING


def quoted(digests: Sequence[str]) -> str:
    """A list of digests, which need no escaping: letters, digits and hyphens only."""
    return "[" + ", ".join(f'"{digest}"' for digest in digests) + "]"


def both(one: str, other: str | None) -> str:
    """An expression that holds where both do."""
    return one if other is None else f"{one} and ({other})"


def _filter(filter: Filter, any_row_has: AnyRowHas) -> Expression:
    must = [translate(clause, any_row_has) for clause in filter.must]
    should = [translate(clause, any_row_has) for clause in filter.should]
    must_not = [translate(clause, any_row_has) for clause in filter.must_not]
    parts = [one.text for one in must if one.text is not None]
    texts = [one.text for one in should if one.text is not None]
    if should and len(texts) == len(should):
        parts.append(" or ".join(f"({text})" for text in texts))
    # Rows that may match cannot be subtracted: only what is exact can be taken away.
    parts += [NOTHING if one.text is None else f"not ({one.text})" for one in must_not if one.exact]
    exact = all(one.exact for one in (*must, *should, *must_not))
    return Expression(" and ".join(f"({part})" for part in parts) or None, exact)


def _range(bounds: Range, path: str, any_row_has: AnyRowHas) -> Expression:
    lower = [_compare(highest_key(path), ">", bounds.gt), _compare(highest_key(path), ">=", bounds.gte)]
    upper = [_compare(lowest_key(path), "<", bounds.lt), _compare(lowest_key(path), "<=", bounds.lte)]
    tests = [test for test in (*lower, *upper) if test]
    spoilers = [token("inexact", path)]
    if any(lower) and any(upper):
        spoilers.append(token("several", path))
    # Rows without a number there are excluded first: comparing what is missing is true in some versions under `not`.
    text = " and ".join([has_any([token("number", path)]), *tests])
    return Expression(text, exact=not any_row_has(spoilers))


def _compare(key: str, sign: str, bound: int | float | None) -> str | None:
    """The comparison of a float with a bound, which need not be one: 2**63 - 1 lies between two floats."""
    if bound is None:
        return None
    nearest = float(bound)
    if nearest != bound:
        above = operator.gt(nearest, bound)
        sign = (">=" if above else ">") if sign[0] == ">" else ("<" if above else "<=")
    return f'numbers["{key}"] {sign} {nearest!r}'
