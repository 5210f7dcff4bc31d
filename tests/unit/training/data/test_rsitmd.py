"""RSITMD: Karpathy's layout with two splits, of which the third is made, and its usual faults."""

from pathlib import Path
from typing import Any

import pytest

from model.errors import DataError
from tests.other_domains import aerial_image, write_aerial
from training.data.dataset import ImageTextDataset
from training.data.rsitmd import load_rsitmd

COUNT = 60


def records() -> list[dict[str, Any]]:
    return [aerial_image(number, "test" if number % 6 == 5 else "train") for number in range(COUNT)]


def names(dataset: ImageTextDataset) -> set[str]:
    return {path.name for path in dataset.image_paths}


def test_val_is_taken_from_train_and_test_is_as_published(tmp_path: Path) -> None:
    file, images = write_aerial(tmp_path, records())
    train, val, test = (load_rsitmd(file, images, split) for split in ("train", "val", "test"))
    assert names(test) == {each["filename"] for each in records() if each["split"] == "test"}
    assert names(train) | names(val) == {each["filename"] for each in records() if each["split"] == "train"}
    assert not names(train) & names(val)
    assert 0 < len(val) < len(train) / 3


def test_val_depends_on_names_alone(tmp_path: Path) -> None:
    file, images = write_aerial(tmp_path, records())
    before = names(load_rsitmd(file, images, "val"))
    write_aerial(tmp_path, records()[::-1])
    assert names(load_rsitmd(file, images, "val")) == before
    # As `sha256sum` has it of these names: the same on every machine, and with every version of Python.
    assert before == {f"port_{number}.tif" for number in (3, 21, 22, 42, 49)}


def test_captions_belong_to_their_images(tmp_path: Path) -> None:
    described = [aerial_image(0, "test", "a", "b"), aerial_image(1, "train", "c"), aerial_image(2, "test", "d", "e")]
    file, images = write_aerial(tmp_path, described)
    data = load_rsitmd(file, images, "test")
    assert data.name == "rsitmd test"
    assert data.image_paths == (images / "port_0.tif", images / "port_2.tif")
    assert data.image_ids.tolist() == [0, 2]
    assert data.captions == ("a", "b", "d", "e")
    assert data.caption_ids.tolist() == [0, 1, 3, 4]
    assert data.image_of_caption.tolist() == [0, 0, 1, 1]


def test_ids_of_the_file_are_not_needed(tmp_path: Path) -> None:
    bare = {"filename": "a.jpg", "split": "test", "sentences": [{"raw": "a port"}]}
    file, images = write_aerial(tmp_path, [bare])
    assert load_rsitmd(file, images, "test").captions == ("a port",)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (aerial_image(1, "test", "a", " "), r"images\[1\]\.sentences\[1\]: it is empty, as in the file before"),
        (aerial_image(1, "test", filename="port_0.tif"), r"images\[1\]: the filename port_0\.tif is at images\[0\]"),
        (aerial_image(1, "val"), r"images\[1\]\.split: it is 'val', RSITMD has train and test; .*format 'karpathy'"),
        (
            {**aerial_image(1, "test"), "split": None},
            r"images\[1\]\.split: input should be a valid string; dataset",
        ),
        (aerial_image(1, "test", sentences=[{"tokens": ["a"]}]), r"images\[1\]\.sentences\[0\]\.raw: field required"),
        (aerial_image(1, "test", sentences=[]), "1 images of rsitmd test have no caption"),
    ],
)
def test_a_faulty_record_is_named(second: dict[str, Any], message: str, tmp_path: Path) -> None:
    file, images = write_aerial(tmp_path, [aerial_image(0, "test"), second])
    with pytest.raises(DataError, match=message) as caught:
        load_rsitmd(file, images, "test")
    assert "\n" not in str(caught.value)


def test_a_split_left_without_images_is_refused(tmp_path: Path) -> None:
    file, images = write_aerial(tmp_path, [aerial_image(0, "test"), aerial_image(1, "test")])
    for split in ("train", "val"):
        with pytest.raises(DataError, match=f"has no image for split '{split}': give the whole dataset_RSITMD.json"):
            load_rsitmd(file, images, split)  # type: ignore[arg-type]


def test_missing_images_are_counted(tmp_path: Path) -> None:
    file, images = write_aerial(tmp_path, [aerial_image(0, "test"), aerial_image(1, "test")])
    (images / "port_1.tif").unlink()
    with pytest.raises(DataError, match=r"1 of 2 images of split 'test' .*port_1\.tif"):
        load_rsitmd(file, images, "test")
