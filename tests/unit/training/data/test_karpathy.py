"""Karpathy's format, as COCO and Flickr use it, and with its usual faults."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.errors import DataError
from training.data.karpathy import load_karpathy


def image(number: int, split: str, *sentences: str, **more: Any) -> dict[str, Any]:
    """One record; sentence ids are 10 x the image's."""
    return {
        "filename": f"{number}.jpg",
        "imgid": number,
        "split": split,
        "sentids": [10 * number + place for place in range(len(sentences))],
        "sentences": [
            {"raw": raw, "tokens": raw.split(), "imgid": number, "sentid": 10 * number + place}
            for place, raw in enumerate(sentences)
        ],
        **more,
    }


def write(folder: Path, *images: dict[str, Any]) -> Path:
    """The JSON file, and an empty image for every record."""
    for record in images:
        path = folder / record.get("filepath", "") / record["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    file = folder / "dataset_toy.json"
    file.write_text(json.dumps({"dataset": "toy", "images": images}))
    return file


def test_any_number_of_captions_and_foreign_keys(tmp_path: Path) -> None:
    file = write(tmp_path, image(3, "train", "a", "b", "c", facts=[1]), image(5, "val", "d"), image(9, "train", "e"))
    data = load_karpathy(file, tmp_path, "train")
    assert data.name == "toy train"
    assert data.image_paths == (tmp_path / "3.jpg", tmp_path / "9.jpg")
    assert data.image_ids.tolist() == [3, 9]
    assert data.captions == ("a", "b", "c", "e")
    assert data.caption_ids.tolist() == [30, 31, 32, 90]
    assert data.image_of_caption.tolist() == [0, 0, 0, 1]


def test_coco_s_folders_and_restval(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        image(1, "restval", "a", filepath="val2014"),
        image(2, "train", "b", filepath="train2014"),
        image(4, "test", "c", filepath="val2014"),
    )
    data = load_karpathy(file, tmp_path, "train")
    assert data.image_paths == (tmp_path / "val2014" / "1.jpg", tmp_path / "train2014" / "2.jpg")
    assert load_karpathy(file, tmp_path, "test").image_ids.tolist() == [4]


def test_equal_names_in_two_folders_are_two_images(tmp_path: Path) -> None:
    first, second = image(1, "train", "a", filepath="x"), image(2, "train", "b", filepath="y")
    file = write(tmp_path, first, {**second, "filename": "1.jpg"})
    assert len(load_karpathy(file, tmp_path, "train")) == 2


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    file = write(tmp_path, image(1, "train", "a"), image(2, "test", "b"))
    with pytest.raises(DataError, match=r"has no image of split 'val'; its splits: test, train"):
        load_karpathy(file, tmp_path, "val")
    with pytest.raises(DataError, match="no split 'dev'; choose one of train, val, test"):
        load_karpathy(file, tmp_path, "dev")  # type: ignore[arg-type]
    assert load_karpathy(file, tmp_path, "test").captions == ("b",)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (image(2, "val", "b", filename="1.jpg"), r"images\[1\]: the filename 1\.jpg is at images\[0\] already"),
        (image(2, "val", "b", imgid=1), r"images\[1\]: the imgid 1 is at images\[0\] already"),
        (
            image(2, "val", "b", sentences=[{"raw": "b", "sentid": 10}]),
            r"images\[1\]\.sentences\[0\]: the sentid 10 is at images\[0\]\.sentences\[0\] already",
        ),
    ],
)
def test_what_stands_twice_is_refused_even_in_another_split(
    second: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        load_karpathy(write(tmp_path, image(1, "train", "a"), second), tmp_path, "train")


def test_missing_images_are_named_and_counted(tmp_path: Path) -> None:
    file = write(tmp_path, *(image(number, "train", "a") for number in range(4)), image(9, "test", "b"))
    for number in (1, 2):
        (tmp_path / f"{number}.jpg").unlink()
    with pytest.raises(DataError, match=r"2 of 4 images of split 'train' .* the first is .*1\.jpg"):
        load_karpathy(file, tmp_path, "train")
    assert len(load_karpathy(file, tmp_path, "test")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: Expecting property name .*; fix the JSON there"),
        ("[]", "the document: input should be a valid dictionary.*; Karpathy's format is "),
        ('{"images": [{"filename": "a.jpg", "sentences": []}]}', r"images\[0\]\.imgid: field required"),
        (
            '{"images": [{"filename": "a.jpg", "imgid": "x", "split": "train", "sentences": []}]}',
            r"images\[0\]\.imgid: input should be a valid int",
        ),
        ('{"images": []}', "its splits: none"),
    ],
)
def test_wrong_json_names_the_place(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "dataset.json"
    file.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        load_karpathy(file, tmp_path, "train")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json cannot be read: no such file"):
        load_karpathy(tmp_path / "none.json", tmp_path, "train")


def test_an_image_without_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 images of toy train have no caption, the first is .*2\.jpg"):
        load_karpathy(write(tmp_path, image(1, "train", "a"), image(2, "train")), tmp_path, "train")


@pytest.mark.photographs
@pytest.mark.parametrize(("split", "images"), [("train", 6000), ("val", 1000), ("test", 1000)])
def test_flickr8k(split: Any, images: int, flickr8k: Path) -> None:
    data = load_karpathy(flickr8k / "dataset_flickr8k.json", flickr8k / "images", split)
    assert (len(data), len(data.captions)) == (images, 5 * images)
