"""The syntax tree of a filter, checked when it is made."""

import math
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    field_validator,
    model_validator,
)

from index.payload import INT64

MAX_VALUES = 10_000

ITEM_KEYS = ("id", "uri", "caption")

Number = StrictInt | StrictFloat
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr

CLAUSES = ("must", "should", "must_not")
_SETTINGS = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Range(BaseModel):
    """Bounds of a number, each finite; at least one is given."""

    model_config = _SETTINGS

    gt: Number | None = None
    gte: Number | None = None
    lt: Number | None = None
    lte: Number | None = None

    @field_validator("gt", "gte", "lt", "lte")
    @classmethod
    def _plain(cls, bound: int | float | None) -> int | float | None:
        _require_plain(bound)
        return bound

    @model_validator(mode="after")
    def _bounded(self) -> "Range":
        if all(bound is None for bound in (self.gt, self.gte, self.lt, self.lte)):
            raise ValueError("has no bound; give gt, gte, lt or lte")
        return self

    def holds(self, value: int | float) -> bool:
        """Whether a number lies within the bounds."""
        return (
            (self.gt is None or value > self.gt)
            and (self.gte is None or value >= self.gte)
            and (self.lt is None or value < self.lt)
            and (self.lte is None or value <= self.lte)
        )


class Match(BaseModel):
    """Exactly one of: equal to `value`, equal to one of `any`, or containing `text` whatever the case."""

    model_config = _SETTINGS

    value: Scalar | None = None
    any: Annotated[tuple[Scalar, ...], Field(max_length=MAX_VALUES)] | None = None
    text: Annotated[StrictStr, Field(min_length=1)] | None = None

    @field_validator("value", "text")
    @classmethod
    def _plain_value(cls, value: Scalar | None) -> Scalar | None:
        _require_plain(value)
        return value

    @field_validator("any")
    @classmethod
    def _plain_values(cls, values: tuple[Scalar, ...] | None) -> tuple[Scalar, ...] | None:
        for value in values or ():
            _require_plain(value)
        return values

    @model_validator(mode="after")
    def _one_test(self) -> "Match":
        _exactly_one(self, ("value", "any", "text"))
        return self

    @property
    def values(self) -> tuple[Scalar, ...] | None:
        """The values of which one is to be equal; None where a text is to be contained."""
        return self.any if self.value is None else (self.value,)


class Condition(BaseModel):
    """Exactly one test of the values at `key`."""

    model_config = _SETTINGS

    key: StrictStr
    match: Match | None = None
    range: Range | None = None
    exists: StrictBool | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_is_empty(cls, value: Any) -> Any:
        match value:
            case {"is_empty": {"key": key, **others}, **rest} if not others and not rest:
                return {"key": key, "exists": False}
        return value

    @field_validator("key")
    @classmethod
    def _not_empty(cls, key: str) -> str:
        if not key.removeprefix("payload."):
            raise ValueError("is empty; name id, uri, caption or a path of the payload")
        _require_plain(key)
        return key

    @model_validator(mode="after")
    def _one_test(self) -> "Condition":
        _exactly_one(self, ("match", "range", "exists"))
        return self

    @property
    def path(self) -> str | None:
        """The path into the payload; None for a key of the item."""
        return None if self.key in ITEM_KEYS else self.key.removeprefix("payload.")


def _clause_kind(value: Any) -> str | None:
    if isinstance(value, dict):
        return "filter" if any(name in value for name in CLAUSES) else "condition"
    if isinstance(value, Filter):
        return "filter"
    return "condition" if isinstance(value, Condition) else None


Clause = Annotated[
    Annotated[Condition, Tag("condition")] | Annotated["Filter", Tag("filter")], Discriminator(_clause_kind)
]


class Filter(BaseModel):
    """All of `must` hold, at least one of `should` where there are any, and none of `must_not`."""

    model_config = _SETTINGS

    must: tuple[Clause, ...] = ()
    should: tuple[Clause, ...] = ()
    must_not: tuple[Clause, ...] = ()


def _require_plain(value: Scalar | None) -> None:
    """Only what can be compared, and be written as JSON again: filters become part of cache keys."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"is {value}; give a finite number")
    if isinstance(value, int) and value not in INT64:
        raise ValueError("is an integer beyond 64 bits, which no payload holds; give a smaller one")
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("has half a surrogate pair; give valid Unicode")


def _exactly_one(model: BaseModel, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    null = [name for name in names if name in model.model_fields_set and name not in given]
    if null and not given:
        raise ValueError(f"has {null[0]} null; to find items without a value give exists false")
    if len(given) != 1:
        raise ValueError(f"has {' and '.join(given) or 'no test'}; give exactly one of {', '.join(names)}")
