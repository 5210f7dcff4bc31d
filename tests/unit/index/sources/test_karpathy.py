import json
from pathlib import Path
from typing import Any

import pytest

from index.sources.captions import read_captions
from model.errors import DataError


def image(filename: str, *sentences: str | dict[str, Any], **extras: Any) -> dict[str, Any]:
    described = [{"raw": sentence} if isinstance(sentence, str) else sentence for sentence in sentences]
    return {"filename": filename, "sentences": described, **extras}


def write(path: Path, *images: Any) -> Path:
    path.write_text(json.dumps({"dataset": "test", "images": images}))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dataset.json"


def test_images_captions_and_what_else_is_said_about_them(path: Path) -> None:
    facts = {"objects": ["dog"]}
    sentence = {"raw": "a dog", "tokens": ["a", "dog"], "sentid": 7, "imgid": 3, "holds_for": [1, 2]}
    write(path, image("a.jpg", sentence, split="val", sentids=[7], imgid=3, facts=facts), image("b.jpg"))
    first, second = read_captions(path)
    assert (first.uris, first.place) == (("a.jpg",), "images[0]")
    assert first.payload == {"split": "val", "imgid": 3, "facts": facts}
    (caption,) = first.captions
    assert (caption.text, caption.place) == ("a dog", "images[0].sentences[0]")
    assert caption.payload == {"sentid": 7, "imgid": 3}
    assert second.captions == ()


def test_cocos_sub_folder_is_tried_first(path: Path) -> None:
    (record,) = read_captions(write(path, image("a.jpg", "a dog", filepath="val2014")))
    assert record.uris == ("val2014/a.jpg", "a.jpg")


def test_one_name_in_two_sub_folders_is_no_duplicate(path: Path) -> None:
    write(path, image("a.jpg", "a dog", filepath="x"), image("a.jpg", "a cat", filepath="y"))
    assert len(read_captions(path)) == 2


def test_equal_captions_under_other_ids_are_allowed(path: Path) -> None:
    write(path, image("a.jpg", {"raw": "a dog", "sentid": 0}, {"raw": "a dog", "sentid": 1}))
    assert [caption.text for caption in read_captions(path)[0].captions] == ["a dog", "a dog"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([image("a.jpg", "x"), image("./a.jpg", "y")], r"images\[1\]: the filename a\.jpg is at images\[0\] already"),
        (
            [image("a.jpg", {"raw": "x", "sentid": 5}), image("b.jpg", {"raw": "y", "sentid": 5})],
            r"images\[1\]\.sentences\[0\]: the sentid 5 is at images\[0\]\.sentences\[0\] already",
        ),
        ([{"sentences": []}], r"images\[0\]\.filename: field required"),
        ([image("", "x")], r"images\[0\]\.filename: string should have at least 1"),
        ([{"filename": "a.jpg"}], r"images\[0\]\.sentences: field required"),
        ([image("a.jpg", {"tokens": []})], r"images\[0\]\.sentences\[0\]\.raw: field required"),
        ([image("a.jpg", {"raw": 3})], r"images\[0\]\.sentences\[0\]\.raw: input should be a valid string"),
        (["a.jpg"], r"images\[0\]: input should be"),
        ([image("a.jpg")], "holds no caption"),
        ([], "holds no caption"),
    ],
)
def test_a_faulty_file_is_refused_with_place_and_remedy(path: Path, images: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=f"{path}.*{message}") as refused:
        read_captions(write(path, *images))
    assert "\n" not in str(refused.value)
    assert len(read_captions(write(path, image("a.jpg", "a dog")))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"images": [\n{"filename": }]}', "line 3: expecting value|line 3: Expecting value"),
        ("", "line 1"),
        ("[]", "the document: input should be"),
        ("{}", "images: field required"),
        ("[" * 100_000, "not JSON that can be used"),
        ('{"images": [{"filename": "a.jpg", "sentences": [], "score": NaN}]}', "NaN is not a JSON value"),
    ],
)
def test_what_is_no_karpathy_json_is_refused(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_captions(path)


@pytest.mark.photographs
def test_the_real_flickr8k_file_is_read(flickr8k: Path) -> None:
    images = read_captions(flickr8k / "dataset_flickr8k.json")
    assert len(images) == 8000
    assert sum(len(image.captions) for image in images) == 40_000
    assert {image.payload["split"] for image in images} == {"train", "val", "test"}
