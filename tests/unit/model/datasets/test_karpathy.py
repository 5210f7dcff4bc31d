"""The one reader of Karpathy's format: the fields of all, those that a reader asks for, and the usual faults."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict

from model.datasets.karpathy import KarpathyImage, KarpathySentence, read_karpathy, refuse_twice
from model.errors import DataError

ANY = KarpathyImage[KarpathySentence]


class Split(KarpathyImage[KarpathySentence]):
    """An image of which a split is asked for, and nothing else kept."""

    model_config = ConfigDict(extra="ignore")

    split: str


def image(filename: str, *sentences: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"filename": filename, "sentences": list(sentences), **more}


def write(folder: Path, content: Any) -> Path:
    path = folder / "dataset.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8-sig")
    return path


def test_what_else_the_file_says_is_kept_unless_the_reader_declines_it(tmp_path: Path) -> None:
    record = image(
        "a.jpg", {"raw": "a dog", "sentid": "x", "tokens": ["a"]}, split="val", filepath="val2014", facts=[1]
    )
    path = write(tmp_path, {"dataset": "toy", "images": [record]})
    content = read_karpathy(path, ANY)
    (found,) = content.images
    assert (content.dataset, found.uri) == ("toy", "val2014/a.jpg")
    assert found.model_extra == {"split": "val", "facts": [1]}
    assert (found.sentences[0].sentid, found.sentences[0].model_extra) == ("x", {"tokens": ["a"]})
    (lean,) = read_karpathy(path, Split).images
    assert (lean.split, lean.model_extra) == ("val", None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": [image("a.jpg")]}, r"images\[0\]\.split: field required; draw it"),
        ({"images": [image("a.jpg", split=3)]}, r"images\[0\]\.split: input should be a valid string; draw it"),
        ({"images": [image("", split="val")]}, r"images\[0\]\.filename: string should have at least 1 character"),
        ({"images": [image("a.jpg", {"raw": 1}, split="val")]}, r"images\[0\]\.sentences\[0\]\.raw: "),
        ({"images": [image("a/./b", split="x"), image("b", filepath="a", split="x")]}, "filename a/b is at .*0"),
        ({"images": [image("a", {"raw": "", "sentid": 1}, {"raw": "", "sentid": 1}, split="x")]}, "sentid 1 is at "),
        ([], "the document: input should be a valid dictionary"),
        ('{"images":\n}', "line 2: Expecting value; fix the JSON there"),
        ('{"images": [], "score": Infinity}', "is not JSON that can be used: Infinity is not a JSON value"),
    ],
)
def test_a_fault_is_named_with_its_place_and_the_remedy(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as refused:
        read_karpathy(write(tmp_path, content), Split, remedy="draw it")
    assert "\n" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json cannot be read: no such file"):
        read_karpathy(tmp_path / "none.json", ANY)
    path = tmp_path / "latin.json"
    path.write_bytes('{"images": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.json is not UTF-8 at byte 12; save it as UTF-8"):
        read_karpathy(path, ANY)


def test_a_value_may_stand_once(tmp_path: Path) -> None:
    refuse_twice(tmp_path, "imgid", [(1, "here"), ("1", "there")])
    with pytest.raises(DataError, match="beyond: the imgid 1 is at here already; keep one of the two"):
        refuse_twice(tmp_path, "imgid", [(1, "here"), (2, "there"), (1, "beyond")])
