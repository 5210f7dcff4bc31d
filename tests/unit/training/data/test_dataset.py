"""Images and captions fit together, or the error names what does not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.errors import DataError
from training.data.dataset import ImageTextDataset, concatenate, refuse_missing_images


def dataset(counts: tuple[int, ...] = (2, 1, 3), name: str = "toy", first_id: int = 10) -> ImageTextDataset:
    """Images with the given numbers of captions; every caption tells its image and its place."""
    image_of_caption = np.repeat(np.arange(len(counts)), counts)
    return ImageTextDataset(
        name=name,
        image_paths=tuple(Path(f"{name}-{row}.jpg") for row in range(len(counts))),
        image_ids=np.arange(len(counts)) + first_id,
        captions=tuple(f"{name} {row} {place}" for row, count in enumerate(counts) for place in range(count)),
        caption_ids=np.arange(sum(counts)) + 2 * first_id,
        image_of_caption=image_of_caption,
    )


def captions_of(data: ImageTextDataset, row: int) -> list[str]:
    return [caption for caption, of in zip(data.captions, data.image_of_caption, strict=True) if of == row]


def test_subset_keeps_ids_and_captions_in_the_order_asked_for() -> None:
    part = dataset().subset(np.array([2, 0]))
    assert part.image_ids.tolist() == [12, 10]
    assert part.image_paths == (Path("toy-2.jpg"), Path("toy-0.jpg"))
    assert captions_of(part, 0) == ["toy 2 0", "toy 2 1", "toy 2 2"]
    assert captions_of(part, 1) == ["toy 0 0", "toy 0 1"]
    assert part.caption_ids.tolist() == [23, 24, 25, 20, 21]


def test_captions_need_not_stand_in_the_order_of_images() -> None:
    order = np.array([5, 0, 3, 1, 4, 2])
    whole = dataset()
    mixed = replace(
        whole,
        captions=tuple(whole.captions[place] for place in order),
        caption_ids=whole.caption_ids[order],
        image_of_caption=whole.image_of_caption[order],
    )
    part = mixed.subset(np.array([1, 2]))
    assert captions_of(part, 0) == ["toy 1 0"]
    assert sorted(captions_of(part, 1)) == ["toy 2 0", "toy 2 1", "toy 2 2"]


def test_a_row_asked_for_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"image id 10 .* occurs 2 times"):
        dataset().subset(np.array([0, 0]))


def test_concatenated_ids_stay_unique_and_rows_are_shifted() -> None:
    both = concatenate([dataset(), dataset((1, 2), name="other", first_id=0), dataset((1,), name="third")])
    assert both.name == "toy + other + third"
    assert len(set(both.image_ids.tolist())) == len(both) == 6
    assert both.image_ids[:3].tolist() == [10, 11, 12], "the first data set keeps its ids"
    assert len(set(both.caption_ids.tolist())) == len(both.captions) == 10
    assert captions_of(both, 4) == ["other 1 0", "other 1 1"]
    assert both.image_paths[4] == Path("other-1.jpg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_ids": np.array([1, 2])}, r"image ids of shape \(2,\), expected \(3,\)"),
        ({"captions": ("a",) * 5}, r"caption ids of shape \(6,\), expected \(5,\)"),
        ({"image_of_caption": np.zeros(2, np.int64)}, r"rows of captions' images of shape \(2,\), expected \(6,\)"),
        ({"image_ids": np.array([1, 2, 1])}, "image id 1 of toy occurs 2 times"),
        ({"image_ids": np.array([1, -2, 3])}, "image id -2 of toy is negative"),
        ({"caption_ids": np.array([1, 2, 3, 4, 5, 5])}, "caption id 5 of toy occurs 2 times"),
        ({"image_of_caption": np.array([0, 0, 1, 2, 2, 3])}, "caption 25 of toy belongs to image row 3; .* 3 images"),
        ({"image_of_caption": np.array([0, 0, -1, 2, 2, 1])}, "caption 22 of toy belongs to image row -1"),
        ({"image_of_caption": np.array([0, 0, 0, 2, 2, 2])}, "1 images of toy have no caption, the first is toy-1.jpg"),
        ({"captions": ("a", "b", "c", " \n", "e", "f")}, "caption 23 of toy is empty"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(dataset(), **change)


def test_a_data_set_without_images_is_refused() -> None:
    empty = np.zeros(0, np.int64)
    with pytest.raises(DataError, match="toy has no image"):
        ImageTextDataset("toy", (), empty, (), empty, empty)


def test_missing_images_are_counted(tmp_path: Path) -> None:
    (tmp_path / "here.jpg").touch()
    paths = [tmp_path / "sub" / "gone.jpg", tmp_path / "here.jpg", tmp_path / "lost.jpg"]
    with pytest.raises(DataError, match=r"2 of 3 images of toy are not below .*, the first is .*sub/gone\.jpg"):
        refuse_missing_images(paths, tmp_path, "toy")
    refuse_missing_images(paths[1:2], tmp_path, "toy")
