"""N24News: the published files of the splits, and what is refused in them."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from model.errors import DataError
from tests.other_domains import news_image, write_news
from training.data.dataset import Split
from training.data.formats import read_split
from training.data.n24news import load_n24news


def test_each_split_has_its_file_in_the_folder(tmp_path: Path) -> None:
    records = {"train": [news_image(0), news_image(1)], "dev": [news_image(2)], "test": [news_image(3), news_image(4)]}
    folder, images = write_news(tmp_path, records)
    train = load_n24news(folder, images, "train")
    assert train.name == "n24news train"
    assert train.image_paths == (images / "n000.jpg", images / "n001.jpg")
    assert train.captions == ("A red square.", "A green square.")
    assert train.image_ids.tolist() == train.caption_ids.tolist() == train.image_of_caption.tolist() == [0, 1]
    assert load_n24news(folder, images, "val").image_paths == (images / "n002.jpg",)
    assert len(load_n24news(folder, images, "test")) == 2


def test_a_file_says_its_split_by_its_name(tmp_path: Path) -> None:
    folder, images = write_news(tmp_path, {"dev": [news_image(2)], "test": [news_image(3)]})
    assert read_split(folder / "nytimes_dev.json", images, "val", "n24news").captions == ("A blue square.",)
    with pytest.raises(DataError, match=r"nytimes_dev\.json is of split 'val'.* not of 'test': .*nytimes_test\.json"):
        load_n24news(folder / "nytimes_dev.json", images, "test")
    assert len(load_n24news(folder / "nytimes_test.json", images, "test")) == 1


def test_the_file_of_all_articles_is_not_taken_for_a_split(tmp_path: Path) -> None:
    folder, images = write_news(tmp_path, {"dataset": [news_image(0)]})
    with pytest.raises(DataError, match=r"nytimes_dataset\.json does not say in its name of which split it is: give"):
        load_n24news(folder / "nytimes_dataset.json", images, "test")


def test_an_id_may_be_a_number(tmp_path: Path) -> None:
    folder, images = write_news(tmp_path, {"test": [news_image(0, image_id=17)]})
    assert load_n24news(folder, images, "test").image_paths == (images / "17.jpg",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"caption": None}, r"\[1\]\.caption: input should be a valid string; N24News is "),
        ({"caption": " \n"}, r"\[1\]\.caption: it is empty; remove the image n001, or write it"),
        ({"image_id": "n000"}, r"\[1\]: the image_id n000 is at \[0\] already; keep one of the two"),
        ({"image_id": "../n001"}, r"\[1\]\.image_id.*: string should match pattern"),
        ({"image_id": ""}, r"\[1\]\.image_id.*: string should match pattern"),
        ({"image_id": 1.5}, r"\[1\]\.image_id"),
    ],
)
def test_a_faulty_record_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder, images = write_news(tmp_path, {"test": [news_image(0), news_image(1)]})
    file = folder / "nytimes_test.json"
    file.write_text(json.dumps([news_image(0), news_image(1, **changes)]))
    with pytest.raises(DataError, match=message) as caught:
        load_n24news(file, images, "test")
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["image_id", "caption"])
def test_a_missing_field_is_named(field: str, tmp_path: Path) -> None:
    record = news_image(0)
    del record[field]
    folder, images = write_news(tmp_path, {"test": [record]})
    with pytest.raises(DataError, match=rf"\[0\]\.{field}: field required; N24News is "):
        load_n24news(folder, images, "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": []}', "the document: input should be a valid list; N24News is "),
        ("[", "line 1: .*; fix the JSON there"),
        ("[NaN]", "NaN is not a JSON value"),
        ("[]", "has no image: give the published file of split 'test'"),
    ],
)
def test_another_document_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "nytimes_test.json"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        load_n24news(file, tmp_path, "test")


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder, images = write_news(tmp_path, {"test": [news_image(number) for number in range(3)]})
    with pytest.raises(DataError, match=r"nytimes_train\.json cannot be read: no such file"):
        load_n24news(folder, images, "train")
    (images / "n001.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 3 images of .*nytimes_test\.json are not below .*n001\.jpg"):
        load_n24news(folder, images, "test")


def test_formats_share_the_check_of_splits_and_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split 'dev'; choose one of train, val, test"):
        read_split(tmp_path, tmp_path, cast(Split, "dev"), "n24news")
    with pytest.raises(DataError, match="say with --images where they are"):
        read_split(tmp_path, None, "test", "n24news")
