"""Masks over columns hold for exactly the rows whose items match, whatever the payloads and filters."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from index.filters import Filter, Range, matches, parse_filter
from index.filters.mask import float_interval, integer_interval
from index.items import Item
from index.metadata import Metadata, write_metadata
from tests.collections_data import Drawing, image_item, metadata_table

TEXTS = st.sampled_from(["", "dog", "DOG", "a Dog", "ß", "ẞ", "ς", "Σ", "İ", "i", "ſ", "s", "K", "k", "\0", "日本"])
INTEGERS = st.sampled_from([-(2**63), -(2**53) - 1, -1, 0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1])
FLOATS = st.sampled_from([-(2.0**63), -1.0, -0.0, 0.0, 0.5, 1.0, 2.0**53, 2.0**53 + 2, 2.0**63, 1e300, 5e-324])
NUMBERS = INTEGERS | FLOATS | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
ANY_TEXT = TEXTS | st.text(st.characters(codec="utf-8"), max_size=4)
SCALARS = ANY_TEXT | NUMBERS | st.booleans()
KEYS = st.sampled_from(["a", "b", "a.b", "payload", "id", ""])

VALUES = st.recursive(
    SCALARS | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
PAYLOADS = st.dictionaries(KEYS, VALUES, max_size=3)

PATHS = st.sampled_from(["a", "b", "a.b", "a.b.a", "b.a", "payload.a", "payload.payload.a", "payload.id", "never"])
ITEM_KEYS = st.sampled_from(["id", "uri", "caption"])
BOUNDS = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBERS, min_size=1, max_size=2)
TESTS = st.one_of(
    st.fixed_dictionaries({"match": st.fixed_dictionaries({"value": SCALARS})}),
    st.fixed_dictionaries({"match": st.fixed_dictionaries({"any": st.lists(SCALARS, max_size=4)})}),
    st.fixed_dictionaries({"match": st.fixed_dictionaries({"text": ANY_TEXT.filter(bool)})}),
    st.fixed_dictionaries({"range": BOUNDS}),
    st.fixed_dictionaries({"exists": st.booleans()}),
)
CONDITIONS = st.builds(lambda key, test: {"key": key, **test}, PATHS | ITEM_KEYS, TESTS)
CLAUSES = ["must", "should", "must_not"]
FILTERS = st.dictionaries(
    st.sampled_from(CLAUSES),
    st.lists(
        CONDITIONS | st.dictionaries(st.sampled_from(CLAUSES), st.lists(CONDITIONS, max_size=2), min_size=1), max_size=2
    ),
)


def metadata_of(directory: Path, items: list[Item]) -> Metadata:
    write_metadata(directory, metadata_table(items))
    return Metadata.open(directory)


def gallery(payloads: list[dict[str, Any]]) -> list[Item]:
    captions = [None, "a Dog", "ß", "", "日本"]
    return [image_item(f"{row}.jpg", captions[row % 5], payload) for row, payload in enumerate(payloads)]


@settings(deadline=None, max_examples=120)
@given(payloads=st.lists(PAYLOADS, max_size=8), filters=st.lists(FILTERS, min_size=1, max_size=6))
@example(payloads=[{"a": [1, 1]}, {"a": True}, {"a": -0.0}], filters=[{"must": [{"key": "a", "match": {"value": 0}}]}])
def test_the_mask_is_what_matches(payloads: list[dict[str, Any]], filters: list[Any]) -> None:
    items = gallery(payloads)
    with TemporaryDirectory() as directory:
        metadata = metadata_of(Path(directory), items)
        for value in filters:
            parsed = parse_filter(value)
            assert metadata.mask(parsed).tolist() == [matches(parsed, item) for item in items], value


@pytest.mark.parametrize("seed", range(4))
def test_the_mask_is_what_matches_in_a_gallery(seed: int, tmp_path: Path) -> None:
    drawing = Drawing(seed)
    items = gallery([drawing.payload() for _ in range(100)])
    metadata = metadata_of(tmp_path, items)
    for _ in range(150):
        parsed = drawing.filter(items)
        assert metadata.mask(parsed).tolist() == [matches(parsed, item) for item in items], parsed


def test_many_batches_are_one_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.metadata.BATCH_ROWS", 7)
    monkeypatch.setattr("index.payload_columns.BATCH_ROWS", 5)
    items = gallery([{"a": row % 3, "b": [f"text {row % 4}"]} if row % 10 else {} for row in range(100)])
    metadata = metadata_of(tmp_path, items)
    for condition in (
        {"key": "a", "match": {"value": 1}},
        {"key": "b", "match": {"text": "T 3"}},
        {"key": "caption", "match": {"any": ["ß", ""]}},
        {"key": "uri", "match": {"text": "9"}},
        {"key": "a", "exists": True},
    ):
        parsed = Filter.model_validate({"must": [condition]})
        mask = metadata.mask(parsed)
        assert mask.dtype == bool
        assert mask.tolist() == [matches(parsed, item) for item in items]
        assert 0 < mask.sum() < 100


@given(value=NUMBERS, bounds=BOUNDS)
def test_intervals_hold_what_the_bounds_hold(value: float, bounds: dict[str, float]) -> None:
    wanted = Range.model_validate(bounds)
    if isinstance(value, int):
        interval = integer_interval(wanted)
        assert (interval is not None and interval[0] <= value <= interval[1]) == wanted.holds(value)
    else:
        low, high = float_interval(wanted)
        assert (low <= value <= high) == wanted.holds(value)


def test_bounds_next_to_each_other() -> None:
    assert integer_interval(Range(gt=1, lt=2)) is None
    assert integer_interval(Range(gt=0.5, lt=1.5)) == (1, 1)
    assert integer_interval(Range(gt=1e300)) is None
    assert integer_interval(Range(lt=1e300)) == (-(2**63), 2**63 - 1)
    assert float_interval(Range(gte=2**53 + 1, lt=1e300)) == (2.0**53 + 2, math.nextafter(1e300, 0))
    assert float_interval(Range(lte=2**53 + 1)) == (-math.inf, 2.0**53)


def test_an_empty_filter_allows_every_row(tmp_path: Path) -> None:
    metadata = metadata_of(tmp_path, gallery([{}, {"a": 1}]))
    assert np.array_equal(metadata.mask(Filter()), [True, True])
