from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.gallery import Gallery, read_gallery, write_gallery
from index.items import Item, Modality, image_item_id, text_item_id
from model.errors import ArtifactCorrupt
from tests.unit.index.drafts import image_item, text_item

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=6,
)
PAYLOADS = st.dictionaries(st.text(max_size=4), JSON_VALUES, max_size=3)
URIS = st.text(min_size=1, max_size=8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gallery.parquet"


def lines_of(*items: Item, first_row: int = 0) -> list[dict[str, Any]]:
    return [
        {"modality": item.modality, "row": row, "id": item.id, "uri": item.uri, "caption": None, "payload": "{}"}
        for row, item in enumerate(items, start=first_row)
    ]


@given(images=st.lists(st.tuples(URIS, st.none() | st.text(), PAYLOADS), unique_by=lambda item: item[0], max_size=5))
def test_a_gallery_comes_back_as_it_was(
    images: list[tuple[str, str | None, dict[str, Any]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    gallery = Gallery(
        tuple(Item(image_item_id(uri), Modality.IMAGE, uri, text, payload) for uri, text, payload in images),
        tuple(text_item(uri, "a dog") for uri, _, _ in images[:2]),
    )
    file = tmp_path_factory.mktemp("gallery") / "gallery.parquet"
    write_gallery(file, gallery)
    assert read_gallery(file) == gallery


def test_ids_depend_on_path_words_and_ordinal_alone() -> None:
    assert image_item_id("a.jpg") == image_item_id("a.jpg")
    ids = {
        image_item_id("a.jpg"),
        image_item_id("b.jpg"),
        text_item_id("a.jpg", "a dog", 0),
        text_item_id("a.jpg", "a dog", 1),
        text_item_id("a.jpg", "a cat", 0),
        text_item_id("a.jp", "ga dog", 0),
    }
    assert len(ids) == 6
    assert image_item_id("sub/ä.jpg") == "img_5a146112fda59cf6", "ids are kept by users: they never change"


def test_rows_of_a_modality_are_in_order(path: Path) -> None:
    write_gallery(path, Gallery((image_item("b.jpg"), image_item("a.jpg"))))
    gallery = read_gallery(path)
    assert [item.uri for item in gallery.of(Modality.IMAGE)] == ["b.jpg", "a.jpg"]
    assert gallery.of(Modality.TEXT) == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (lines_of(image_item("a.jpg"), first_row=1), "row 1 where 0 belongs"),
        (lines_of(image_item("a.jpg"), image_item("a.jpg")), "twice"),
        ([{**lines_of(image_item("a.jpg"))[0], "modality": "sound"}], "no item"),
        ([{**lines_of(image_item("a.jpg"))[0], "payload": "[1]"}], "no JSON object"),
        ([{**lines_of(image_item("a.jpg"))[0], "payload": "{"}], "no item"),
    ],
)
def test_a_faulty_line_is_refused(path: Path, lines: list[dict[str, Any]], message: str) -> None:
    write_gallery(path, Gallery((image_item("a.jpg"),)))
    pq.write_table(pa.Table.from_pylist(lines, schema=pq.read_schema(path)), path)
    with pytest.raises(ArtifactCorrupt, match=message):
        read_gallery(path)


def test_a_foreign_table_is_refused(path: Path) -> None:
    pq.write_table(pa.table({"image": ["a.jpg"]}), path)
    with pytest.raises(ArtifactCorrupt, match=r"has the columns \['image'\]"):
        read_gallery(path)


def test_bytes_that_are_no_parquet_are_refused(path: Path) -> None:
    path.write_bytes(b"PAR1 and nothing of it")
    with pytest.raises(ArtifactCorrupt, match="cannot be read as parquet"):
        read_gallery(path)


def test_other_modality() -> None:
    assert Modality.IMAGE.other is Modality.TEXT
    assert Modality.TEXT.other is Modality.IMAGE
