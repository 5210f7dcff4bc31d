"""Filters as expressions of Milvus hold for what the filters mean, whatever texts and numbers stand in them."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema
from milvus_lite.search.filter import compile_expr, evaluate, parse_expr

from index.collection.milvus.expressions import Expression, translate
from index.collection.milvus.terms import terms_of
from index.filters import Filter, matches, parse_filter
from index.items import Item
from tests.collections_data import image_item

_SCHEMA = CollectionSchema(
    fields=[
        FieldSchema("pk", DataType.VARCHAR, is_primary=True, max_length=64),
        FieldSchema("born", DataType.INT64),
        FieldSchema("terms", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=4096, max_length=64),
        FieldSchema("numbers", DataType.JSON),
        FieldSchema("vector", DataType.FLOAT_VECTOR, dim=2),
    ]
)
_NUMBERS = (-(2**63), -1, 0, -0.0, 0.1, 1, 1.0, 1.5, 2, 2**53, 2**53 + 1, 2.0**53, 2**63 - 1, 2.0**63, 1e300, 5e-324)
_TEXTS = ("dog", "DOG", "1", "true", "True", "", "a.b", "'", '"', "\\", '"]) or pk != ("', "ü日本", "\x00\n", "%_")
_VALUES = (*_NUMBERS, *_TEXTS, True, False)
_KEYS = ("a", "b", "a.b", "deep.er", "caption", "uri", "id", "payload.id", "payload.a", "no", '"] or born >= 0 or "')

_scalars = st.sampled_from(_VALUES) | st.text(max_size=5) | st.integers(-(2**63), 2**63 - 1)
_payloads = st.dictionaries(
    st.sampled_from(("a", "b", "id", '"] or born >= 0 or "')),
    _scalars | st.none() | st.lists(_scalars, max_size=3) | st.fixed_dictionaries({"b": _scalars}),
)
_items = st.lists(st.builds(lambda payload, caption: (payload, caption), _payloads, st.none() | st.text(max_size=3)))
_bounds = st.dictionaries(
    st.sampled_from(("gt", "gte", "lt", "lte")), st.sampled_from((*_NUMBERS, 1.7e308, -1.7e308)), min_size=1
)
_tests = st.one_of(
    st.builds(lambda value: {"match": {"value": value}}, _scalars),
    st.builds(lambda values: {"match": {"any": values}}, st.lists(_scalars, max_size=4)),
    st.builds(lambda text: {"match": {"text": text}}, st.sampled_from(("d", "O", "'"))),
    st.builds(lambda bounds: {"range": bounds}, _bounds),
    st.builds(lambda exists: {"exists": exists}, st.booleans()),
)
_conditions = st.builds(lambda key, test: {"key": key, **test}, st.sampled_from(_KEYS), _tests)
_filters = st.recursive(
    _conditions,
    lambda clauses: st.dictionaries(
        st.sampled_from(("must", "should", "must_not")), st.lists(clauses, max_size=3), min_size=1
    ),
    max_leaves=6,
)
_SAFE = re.compile(r"[ ()\[\],<>=.+\-0-9e]|born|terms|numbers|array_contains_any|and|or|not")


def _any_of(items: Sequence[Item]) -> Any:
    tokens = {token for item in items for token in terms_of(item)[0]}
    return lambda asked: not tokens.isdisjoint(asked)


def _found(expression: Expression, items: Sequence[Item]) -> set[str]:
    """The ids of the items that an expression holds for, as Milvus Lite reads it."""
    if expression.text is None:
        return {item.id for item in items}
    rows = [(item.id, *terms_of(item)) for item in items]
    table = pa.table(
        {
            "pk": pa.array([item_id for item_id, _, _ in rows], pa.string()),
            "born": pa.array([1 for _ in rows], pa.int64()),
            "terms": pa.array([terms for _, terms, _ in rows], pa.list_(pa.string())),
            "numbers": pa.array([json.dumps(numbers) for _, _, numbers in rows], pa.string()),
        }
    )
    held = evaluate(compile_expr(parse_expr(expression.text), _SCHEMA, expression.text), table)
    return {item_id for (item_id, _, _), holds in zip(rows, held.to_pylist(), strict=True) if holds}


def _check(filter: Filter, items: Sequence[Item]) -> Expression:
    expression = translate(filter, _any_of(items))
    found, expected = _found(expression, items), {item.id for item in items if matches(filter, item)}
    assert found >= expected, expression
    assert found == expected or not expression.exact, expression
    return expression


@settings(max_examples=80, deadline=None)
@given(_items, _filters)
def test_an_expression_holds_for_what_the_filter_holds_for(
    drawn: list[tuple[dict[str, Any], str | None]], clause: dict[str, Any]
) -> None:
    items = [image_item(f"{number}.jpg", caption, payload) for number, (payload, caption) in enumerate(drawn)]
    expression = _check(parse_filter({"must": [clause]}), items)
    # No text of the filter is in the expression: digests, numbers, and the words of the language.
    rest = re.sub(r'"((lo_|hi_)?[0-9a-f]{24})"', "", expression.text or "")
    assert _SAFE.sub("", rest) == ""


@pytest.mark.parametrize("value", _VALUES)
def test_equal_are_equal_values_only(value: Any) -> None:
    items = [image_item(f"{number}.jpg", payload={"a": other}) for number, other in enumerate(_VALUES)]
    assert _check(parse_filter({"must": [{"key": "a", "match": {"value": value}}]}), items).exact


@pytest.mark.parametrize("bound", _NUMBERS)
@pytest.mark.parametrize("side", ["gt", "gte", "lt", "lte"])
def test_numbers_lie_within_bounds_exactly(side: str, bound: float) -> None:
    singles = [number for number in _NUMBERS if float(number) == number]
    items = [image_item(f"{number}.jpg", payload={"a": value}) for number, value in enumerate(singles)]
    for more in ({}, {"gte": -1} if side[0] == "l" else {"lte": 2**63 - 1}):
        chosen = parse_filter({"must": [{"key": "a", "range": {side: bound, **more}}]})
        assert _check(chosen, items).exact
        for rounded in (2**53 + 1, 2**63 - 1, -(2**53) - 1):
            assert not _check(chosen, [*items, image_item("rounded.jpg", payload={"a": rounded})]).exact


def test_a_list_that_spans_a_range_is_not_within_it() -> None:
    items = [image_item("a.jpg", payload={"a": [1, 9]}), image_item("b.jpg", payload={"a": 5})]
    for clause, exact in (
        ({"must": [{"key": "a", "range": {"gt": 4, "lt": 6}}]}, False),
        ({"must_not": [{"key": "a", "range": {"gt": 4, "lt": 6}}]}, False),
        ({"must": [{"key": "a", "range": {"gt": 4}}]}, True),
        ({"must_not": [{"key": "a", "range": {"lt": 4}}]}, True),
    ):
        assert _check(parse_filter(clause), items).exact == exact
