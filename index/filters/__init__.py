"""Filters over items: a syntax tree, as Qdrant writes it, of conditions on id, uri, caption and payload.

    {"must": [{"key": "year", "range": {"gte": 2010}}, {"key": "tags", "match": {"any": ["dog", "cat"]}}],
     "should": […], "must_not": [{"key": "licence", "exists": false}]}

`id`, `uri` and `caption` are of the item; any other key is a path of dots into its payload, with or without the prefix
`payload.`. The values at a path are the plain values met there (texts, numbers, true and false; neither null nor
objects), through objects by key and through lists by every element; a condition holds where it holds for one of them.

- `match.value` and `match.any` compare without conversion: true, 1 and "1" are three values, 1 and 1.0 are one.
- `match.text` is contained in a text, whatever the case: both are compared as `fold` returns them.
- `range` holds for numbers only; integers and floats compare by their exact values.
- `exists` is true where there is a value at the path; `{"is_empty": {"key": …}}` is short for `exists` false.
- An empty filter holds for every item; `must`, `should` and `must_not` hold filters as well as conditions.

`matches` is the meaning in plain Python; `filter_mask` finds the same rows among the columns of a segment.
"""

from index.filters.meaning import fold, matches
from index.filters.parse import MAX_CONDITIONS, MAX_DEPTH, parse_filter
from index.filters.syntax import ITEM_KEYS, Condition, Filter, Match, Range

__all__ = [
    "ITEM_KEYS",
    "MAX_CONDITIONS",
    "MAX_DEPTH",
    "Condition",
    "Filter",
    "Match",
    "Range",
    "fold",
    "matches",
    "parse_filter",
]
