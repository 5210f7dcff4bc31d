"""Tables as sources of their own: ids, captions in lists, payloads, paths, and Parquet."""

import datetime
import decimal
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index.items import image_item_id
from index.sources import Source, read_source
from index.sources.captions import read_captions
from model.errors import DataError


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def write_parquet(path: Path, *rows: dict[str, Any]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return path


def said(source: Source) -> list[tuple[str, str, list[str], Any]]:
    return [(each.uri, each.id, [caption.text for caption in each.captions], each.payload) for each in source.records]


@pytest.mark.parametrize("write", [write_lines, write_parquet])
def test_ids_captions_and_metadata_of_one_row_an_image(tmp_path: Path, write: Any) -> None:
    table = write(
        tmp_path / ("t.jsonl" if write is write_lines else "t.parquet"),
        {"path": "b.jpg", "id": "7", "captions": ["a dog", "runs", "a dog"], "camera": {"iso": 100, "tags": ["x"]}},
        {"path": "a.jpg", "id": "8", "captions": [], "camera": {"iso": 200, "tags": []}},
    )
    source = read_source(table)
    assert source.images_root == tmp_path
    assert said(source) == [
        ("b.jpg", "7", ["a dog", "runs", "a dog"], {"camera": {"iso": 100, "tags": ["x"]}}),
        ("a.jpg", "8", [], {"camera": {"iso": 200, "tags": []}}),
    ]
    assert source.records[0].captions[1].payload == {"camera": {"iso": 100, "tags": ["x"]}}


def test_several_rows_an_image_agree_on_what_is_the_images(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image,id,caption,who,annotator\na.jpg,x,one,me,1\nb.jpg,,,you,\na.jpg,x,two,me,2\n")
    source = read_source(table)
    assert said(source) == [
        ("a.jpg", "x", ["one", "two"], {"who": "me"}),
        ("b.jpg", image_item_id("b.jpg"), [], {"who": "you", "annotator": ""}),
    ]
    assert [caption.payload["annotator"] for caption in source.records[0].captions] == ["1", "2"]


def test_tables_in_several_files_are_one(tmp_path: Path) -> None:
    write_lines(tmp_path / "1.jsonl", {"image": "a.jpg", "caption": "one"})
    write_lines(tmp_path / "2.jsonl", {"image": "b.jpg"}, {"image": "a.jpg", "caption": "two"})
    source = read_source(f"{tmp_path}/*.jsonl")
    assert [(uri, texts) for uri, _, texts, _ in said(source)] == [("a.jpg", ["one", "two"]), ("b.jpg", [])]
    write_lines(tmp_path / "3.jsonl", {"image": "a.jpg", "caption": "one"})
    with pytest.raises(DataError, match=r"3\.jsonl, line 1: the same image and caption as in .*1\.jsonl, line 1; keep"):
        read_source(f"{tmp_path}/*.jsonl")


def test_paths_start_from_the_root_and_stay_below_it(tmp_path: Path) -> None:
    table = write_lines(tmp_path / "t.jsonl", {"image": f"{tmp_path}/images/a.jpg"}, {"image": "x/../b.jpg"})
    (tmp_path / "images").mkdir()
    assert [uri for uri, *_ in said(read_source(table, root=tmp_path))] == ["images/a.jpg", "b.jpg"]
    write_lines(table, {"image": f"{tmp_path}/images/a.jpg"})
    assert [uri for uri, *_ in said(read_source(table, root=tmp_path / "images"))] == ["a.jpg"]
    write_lines(table, {"image": "c.jpg"}, {"image": "../b.jpg"})
    with pytest.raises(DataError, match=r"t\.jsonl, line 2: '\.\./b\.jpg' is outside of .*; give the folder"):
        read_source(table, root=tmp_path / "images")
    with pytest.raises(DataError, match="missing is not a folder"):
        read_source(table, root=tmp_path / "missing")


def test_values_of_parquet_become_those_of_json(tmp_path: Path) -> None:
    table = write_parquet(
        tmp_path / "t.parquet",
        {
            "image": "a.jpg",
            "day": datetime.date(2024, 5, 1),
            "at": datetime.datetime(2024, 5, 1, 12),
            "took": datetime.timedelta(seconds=1.5),
            "price": decimal.Decimal("1.25"),
            "missing": math.nan,
            "nothing": None,
            "number": 2**53 + 1,
        },
        {"image": "b.jpg", "nothing": "x"},
    )
    first, second = read_source(table).records
    assert first.payload == {
        "day": "2024-05-01",
        "at": "2024-05-01T12:00:00",
        "took": 1.5,
        "price": 1.25,
        "missing": None,
        "number": 2**53 + 1,
    }
    assert second.payload == {"nothing": "x"}


def test_parquet_beside_a_folder_holds_captions(tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "t.parquet", {"image": "a.jpg", "caption": "a dog"})
    assert [caption.place for caption in read_captions(table)[0].captions] == ["row 1"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image": "a.jpg", "id": "x"}, {"image": "b.jpg", "id": "x"}], r"line 2: the id 'x' is at line 1 already"),
        ([{"image": "a.jpg", "id": "x", "caption": "1"}, {"image": "a.jpg", "caption": "2"}], "line 2: the id None is"),
        ([{"image": "a.jpg"}, {"image": "a.jpg"}], "line 2: the same image as in line 1"),
        ([{"image": "a.jpg", "id": "x"}, {"image": "s/../a.jpg", "id": "y"}], "line 2: the image 'a.jpg' is at line 1"),
        ([{"image": "a.jpg", "id": 1.5}], r"line 1: id is 1\.5; it has to be a text or a whole number"),
        ([{"image": "a.jpg", "id": True}], "line 1: id is True"),
        ([{"image": "a.jpg", "id": " x"}], "line 1: id is ' x'; .* without white space"),
        ([{"image": "a.jpg", "id": "x" * 300}], "line 1: id is .* at most 256"),
        ([{"image": "a.jpg", "caption": 3}], "line 1: caption is 3; it has to be a text or a list of texts"),
        ([{"image": "a.jpg", "captions": ["x", None]}], "line 1: captions is .*; it has to be a text or a list"),
        ([{"caption": "x"}], "line 1: image is missing"),
        ([{"image": "a\0.jpg"}], "line 1: .* is not the name of a file"),
        ([{"image": "."}], "line 1: .* is outside of"),
        ([{"image": "a.jpg", "deep": json.loads("[" * 300 + "]" * 300)}], "line 1: the payload is nested more than"),
        ([{"image": "a.jpg", "long": "x" * 70_000}], "line 1: the payload has 70"),
        ([{"image": "a.jpg", "big": 2**70}], "line 1: .* beyond 64 bits"),
        ([], "names no image"),
    ],
)
def test_a_faulty_row_is_refused_with_its_line(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_source(write_lines(tmp_path / "t.jsonl", *rows))
    assert "\n" not in str(refused.value)
    assert len(read_source(write_lines(tmp_path / "t.jsonl", {"image": "a.jpg", "id": 5})).records) == 1


def test_a_table_that_is_not_one_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    with pytest.raises(DataError, match="line 1: no column image in 'picture'"):
        read_source(write_parquet(table, {"picture": "a.jpg"}))
    with pytest.raises(DataError, match="row 1: a value of type bytes is not a JSON value; leave the column out"):
        read_source(write_parquet(table, {"image": "a.jpg", "raw": b"\0"}))
    with pytest.raises(DataError, match="row 2: inf is not a JSON value"):
        read_source(write_parquet(table, {"image": "a.jpg", "x": 1.0}, {"image": "b.jpg", "x": math.inf}))
    sound = table.read_bytes()
    table.write_bytes(sound[: len(sound) // 2])
    with pytest.raises(DataError, match=r"t\.parquet is not a Parquet file that can be read"):
        read_source(table)
    with pytest.raises(DataError, match=r"missing\.parquet cannot be read: .*no such file"):
        read_source(tmp_path / "missing.parquet")
    (tmp_path / "t.csv").write_text("file,caption\na.jpg,x\n")
    with pytest.raises(DataError, match=r"t\.csv, line 1: no column image in 'file, caption'"):
        read_source(tmp_path / "t.csv")
