"""Filters over items: a syntax tree, as Qdrant writes it, of conditions on id, uri, caption and payload.

    {"must": [{"key": "year", "range": {"gte": 2010}}, {"key": "tags", "match": {"any": ["dog", "cat"]}}],
     "should": […], "must_not": [{"key": "licence", "exists": false}]}

`id`, `uri` and `caption` are of the item; any other key is a path of dots into its payload, with or without the prefix
`payload.`. The values at a path are the plain values met there, through objects by key and through lists by every
element; a condition holds where it holds for one of them.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr

MAX_CONDITIONS = 100
MAX_DEPTH = 8

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr


class Range(BaseModel):
    """Bounds of a number; at least one is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


class Match(BaseModel):
    """Exactly one of: equal to `value`, equal to one of `any`, or containing `text` whatever the case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Scalar | None = None
    any: tuple[Scalar, ...] | None = None
    text: str | None = None


class Condition(BaseModel):
    """Exactly one test of the values at `key`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    match: Match | None = None
    range: Range | None = None
    exists: bool | None = None


class Filter(BaseModel):
    """All of `must` hold, at least one of `should` where there are any, and none of `must_not`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    must: tuple["Condition | Filter", ...] = ()
    should: tuple["Condition | Filter", ...] = ()
    must_not: tuple["Condition | Filter", ...] = ()


def parse_filter(value: Any) -> Filter:
    """A filter from its JSON value; raises InvalidInput that names the place and the remedy."""
    return Filter.model_validate(value)
