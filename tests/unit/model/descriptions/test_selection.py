"""What of a data set is described, and that captions of val and test never get into a prompt."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.descriptions.selection import Item, Per, by_image, items_of_dataset
from model.errors import ConfigError, DataError


def image(name: str, split: str | None, *captions: str, first: int | None = 0, **more: Any) -> dict[str, Any]:
    sentences = [{"raw": raw, **({} if first is None else {"sentid": first + at})} for at, raw in enumerate(captions)]
    return {"filename": name, **({} if split is None else {"split": split}), "sentences": sentences, **more}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    images = [
        image("a.jpg", "train", "a dog", "a cat"),
        image("b.jpg", "restval", "a cow", first=10, filepath="val2014"),
        image("c.jpg", "test", "a fox", first=20),
    ]
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"images": images}))
    return path


def items(file: Path, split: str | None, per: Per = "image", reference_captions: bool = False) -> list[Item]:
    return items_of_dataset(file, split=split, per=per, reference_captions=reference_captions)


def test_images_of_a_split_by_their_path_below_the_folder(dataset: Path) -> None:
    assert items(dataset, "train") == [Item("a.jpg"), Item("val2014/b.jpg")]
    assert items(dataset, "test") == [Item("c.jpg")]
    assert len(items(dataset, None)) == 3


def test_reference_captions_go_along_all_of_an_image_or_each_with_its_id(dataset: Path) -> None:
    assert items(dataset, "train", reference_captions=True) == [
        Item("a.jpg", None, "a dog\na cat"),
        Item("val2014/b.jpg", None, "a cow"),
    ]
    each = items(dataset, "train", "caption", reference_captions=True)
    assert each == [Item("a.jpg", 0, "a dog"), Item("a.jpg", 1, "a cat"), Item("val2014/b.jpg", 10, "a cow")]
    assert {name: len(group) for name, group in by_image(each).items()} == {"a.jpg": 2, "val2014/b.jpg": 1}


@pytest.mark.parametrize("split", ["val", "test", None, "restval"])
@pytest.mark.parametrize("per", ["image", "caption"])
def test_captions_of_anything_but_train_never_get_into_a_prompt(dataset: Path, split: str | None, per: Per) -> None:
    with pytest.raises(ConfigError, match=r"the captions are the queries .* gives the answer away; use --split train"):
        items(dataset, split, per, reference_captions=True)


def test_without_reference_captions_none_is_read(dataset: Path) -> None:
    assert {item.caption for item in items(dataset, None)} == {None}
    with pytest.raises(ConfigError, match=r"--per caption describes an image anew .* add --reference-captions"):
        items(dataset, "train", "caption")


def test_a_split_that_is_not_there_is_refused_with_those_that_are(dataset: Path) -> None:
    with pytest.raises(DataError, match="no image of split 'vall'; its splits: restval, test, train"):
        items(dataset, "vall")


def test_captions_without_an_id_cannot_be_keys(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"images": [image("a.jpg", "train", "a dog", first=None)]}))
    assert items(path, "train", reference_captions=True) == [Item("a.jpg", None, "a dog")]
    with pytest.raises(DataError, match=r"dataset\.json: the sentence 'a dog' of a\.jpg has no sentid"):
        items(path, "train", "caption", reference_captions=True)
