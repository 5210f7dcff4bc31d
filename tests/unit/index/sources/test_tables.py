import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.sources.captions import read_captions
from model.errors import DataError

GOOD = "image,caption\na.jpg,a dog\n"
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_rows_are_grouped_by_image_and_further_columns_are_payload(tmp_path: Path) -> None:
    text = 'image,caption,who\nb.jpg,"a dog, running",me\na.jpg,a cat,you\n\nb.jpg,"two\nlines",\n'
    first, second = read_captions(write(tmp_path / "c.csv", text))
    assert [image.uris for image in (first, second)] == [("b.jpg",), ("a.jpg",)]
    assert [(c.text, c.place, c.payload) for c in first.captions] == [
        ("a dog, running", "line 2", {"who": "me"}),
        ("two\nlines", "line 5", {"who": ""}),
    ]
    assert first.payload == {}


def test_json_lines_keep_the_types_of_their_payload(tmp_path: Path) -> None:
    text = '{"image": "./a.jpg", "caption": "a dog", "score": 3, "tags": ["x"]}\n\n{"image": "a.jpg", "caption": "b"}\n'
    (record,) = read_captions(write(tmp_path / "c.jsonl", text))
    assert record.uris == ("a.jpg",)
    assert [(c.text, c.place, c.payload) for c in record.captions] == [
        ("a dog", "line 1", {"score": 3, "tags": ["x"]}),
        ("b", "line 3", {}),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "\ufeffimage,caption\r\na.jpg,a dog\r\n"),
        ("c.CSV", " caption , image \na dog,a.jpg\n"),
        ("c.tsv", "image\tcaption\na.jpg\ta dog\n"),
        ("c.ndjson", '\ufeff{"image": "a.jpg", "caption": "a dog"}'),
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, name: str, text: str) -> None:
    (record,) = read_captions(write(tmp_path / name, text))
    assert (record.uris, record.captions[0].text) == (("a.jpg",), "a dog")


@given(rows=st.lists(st.tuples(WORDS.filter(str.strip), WORDS), min_size=1, max_size=5, unique_by=lambda row: row[0]))
def test_both_kinds_of_table_say_the_same(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    rows = [(f"{at}{image}.jpg", caption) for at, (image, caption) in enumerate(rows)]
    with (folder / "c.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    lines = [json.dumps({"image": image, "caption": caption}) for image, caption in rows]
    (folder / "c.jsonl").write_text("\n".join(lines))
    tables = [read_captions(folder / name) for name in ("c.csv", "c.jsonl")]
    said = [[(image.uris, [caption.text for caption in image.captions]) for image in table] for table in tables]
    assert said[0] == said[1]
    assert [caption for _, (caption,) in said[0]] == [caption for _, caption in rows]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.csv", "image,text\na.jpg,a dog\n", r"line 1: no column caption in 'image, text'"),
        ("c.csv", "a.jpg;a dog\n", "line 1: no column image and caption"),
        ("c.csv", "", "line 1: no column image and caption in 'nothing'"),
        ("c.csv", "image,caption,image\n", "line 1: a column name stands twice"),
        ("c.csv", "image,caption\na.jpg,a dog, running\n", "line 2: 3 cells under 2 columns; .*quotes"),
        ("c.csv", "image,caption\na.jpg\n", "line 2: 1 cells under 2 columns"),
        ("c.csv", 'image,caption\na.jpg,"a dog\nb.jpg,b\n', "line 3: unexpected end of data; fix the quotes"),
        ("c.csv", f"image,caption\na.jpg,{'x' * 200_000}\n", "line 2: field larger"),
        ("c.csv", "image,caption\n ,a dog\n", "line 2: image is empty"),
        ("c.csv", GOOD + "b.jpg,x\n./a.jpg,a dog\n", "line 4: the same image and caption as in line 2"),
        ("c.csv", "image,caption\n", "holds no caption"),
        ("c.csv", b"image,caption\na.jpg,caf\xe9\n", "not UTF-8 at byte"),
        ("c.jsonl", '{"image": "a.jpg", "caption": "x"}\n{"image": "b.jpg"}', "line 2: caption is missing"),
        ("c.jsonl", '{"image": "a.jpg", "caption": null}', "line 1: caption is None; it has to be a text"),
        ("c.jsonl", '{"image": ["a.jpg"], "caption": "x"}', "line 1: image is "),
        ("c.jsonl", '\n{"image": ', "line 2: not JSON that can be used"),
        ("c.jsonl", '{"image": "a.jpg", "caption": "x", "score": NaN}', "line 1: .*NaN is not a JSON value"),
        ("c.jsonl", "[1]", "line 1: not an object"),
        ("c.jsonl", b'{"image": "caf\xe9"}', "not UTF-8 at byte"),
        ("c.jsonl", "[" * 100_000, "line 1: not JSON that can be used"),
        ("c.txt", GOOD, r"not a caption file by its name; its kind may be \.json"),
    ],
)
def test_a_faulty_table_is_refused_with_line_and_remedy(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=f"{name}.*{message}") as refused:
        read_captions(write(tmp_path / name, text))
    assert "\n" not in str(refused.value)
    assert len(read_captions(write(tmp_path / "good.csv", GOOD))) == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.csv cannot be read: no such file"):
        read_captions(tmp_path / "missing.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv cannot be read: is a directory"):
        read_captions(tmp_path / "folder.csv")
