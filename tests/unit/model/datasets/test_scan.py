"""SCAN's format in both of its customs, one row per image and one per caption, and with counts that do not fit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.datasets.scan import open_scan, scan_splits
from model.errors import DataError
from tests.scan_files import globals_of, regions_of, write_scan

IDS = (7, 3, 12)
REGIONS, GLOBALS = regions_of(IDS), globals_of(IDS)


@pytest.mark.parametrize("per_image", [1, 3, 5])
def test_captions_per_image_are_the_ratio(per_image: int, tmp_path: Path) -> None:
    captions = [f"caption {place} of {number}" for number in IDS for place in range(per_image)]
    files = open_scan(write_scan(tmp_path, "train", IDS, per_image=per_image, captions=captions), "train")
    assert files.image_ids.tolist() == list(IDS)
    assert (len(files), files.per_image) == (3, per_image)
    assert files.captions[-1] == f"caption {per_image - 1} of 12"


@pytest.mark.parametrize("repeated", ["ids", "regions", "global_features", "all"])
def test_rows_may_stand_once_per_caption(repeated: str, tmp_path: Path) -> None:
    whole = {"ids": np.array(IDS), "regions": REGIONS, "global_features": GLOBALS}
    names = list(whole) if repeated == "all" else [repeated]
    changes: dict[str, Any] = {name: np.repeat(whole[name], 5, axis=0) for name in names}
    files = open_scan(write_scan(tmp_path, "train", IDS, per_image=5, **changes), "train")
    assert files.image_ids.tolist() == list(IDS)
    np.testing.assert_array_equal(files.regions().of(slice(1, 3)), REGIONS[1:])
    np.testing.assert_array_equal(files.global_features(), GLOBALS)


def test_regions_stay_on_disk_and_may_be_of_half_precision(tmp_path: Path) -> None:
    files = open_scan(write_scan(tmp_path, "train", IDS, regions=REGIONS.astype(np.float16)), "train")
    assert isinstance(files.regions().values, np.memmap)
    assert files.regions().of(slice(0, 2)).dtype == np.float32


def test_global_features_may_be_absent(tmp_path: Path) -> None:
    assert open_scan(write_scan(tmp_path, "train", IDS, global_features=None), "train").global_features() is None


@pytest.mark.parametrize(("split", "other_name"), [("val", "dev"), ("test", "test")])
def test_names_of_splits_are_those_of_scan(split: str, other_name: str, tmp_path: Path) -> None:
    write_scan(tmp_path, other_name, IDS)
    assert open_scan(tmp_path, split).prefix == other_name
    assert scan_splits(tmp_path) == [split]
    better = {"val": "val", "test": "testall"}[split]
    write_scan(tmp_path, better, (*IDS, 20))
    assert len(open_scan(tmp_path, split)) == 4, "testall holds what test holds"
    with pytest.raises(DataError, match="no split 'dev'; choose one of train, val, test"):
        open_scan(tmp_path, "dev")


def test_a_caption_may_hold_any_character(tmp_path: Path) -> None:
    captions = ["a\u2028b", "c\x0bd \r", "e\x85f"]
    files = open_scan(write_scan(tmp_path, "train", IDS, captions=captions), "train")
    assert files.captions == ("a\u2028b", "c\x0bd", "e\x85f")


@pytest.mark.parametrize("place", ["id_mapping.json", "../id_mapping.json"])
def test_images_are_named_here_or_above(place: str, tmp_path: Path) -> None:
    directory = write_scan(tmp_path / "precomp", "train", IDS)
    (directory / place).write_text(json.dumps({number: f"train2014/{number}.jpg" for number in (*IDS, 99)}))
    assert open_scan(directory, "train").image_names() == tuple(f"train2014/{number}.jpg" for number in IDS)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (None, r"id_mapping\.json cannot be read as JSON from id to file name"),
        ("[1]", r"id_mapping\.json cannot be read as JSON from id to file name"),
        ('{"7": "7.jpg"}', r"id_mapping\.json lacks 2 of 3 ids, the first is 3"),
        ('{"7": "a.jpg", "3": "a.jpg", "12": "b.jpg"}', r"id_mapping\.json names a\.jpg for 2 ids"),
    ],
)
def test_a_mapping_that_does_not_fit(mapping: str | None, message: str, tmp_path: Path) -> None:
    directory = write_scan(tmp_path / "precomp", "train", IDS)
    if mapping is not None:
        (directory / "id_mapping.json").write_text(mapping)
    with pytest.raises(DataError, match=message):
        open_scan(directory, "train").image_names()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"captions": ["a"] * 7}, r"7 captions and 3 lines of 3 ids in .* no whole number of captions per image"),
        ({"ids": (7, 7, 3, 12)}, r"6 captions and 4 lines of 3 ids in .* no whole number"),
        ({"ids": (7, 7, 7, 3, 12, 12)}, r"6 captions and 6 lines of 3 ids in .* no whole number"),
        ({"ids": (7, 3, 12, 7)}, "has an id in two places"),
        ({"ids": ("7", "x", "12")}, "holds a line that is not a number"),
        ({"ids": ()}, r"train_ids\.txt is empty: the split has no image"),
        ({"captions": ()}, r"train_caps\.txt is empty: the split has no image"),
        ({"regions": REGIONS[:2]}, r"train_ims\.npy has 2 rows, expected one per image \(3\) or caption \(6\)"),
        ({"global_features": GLOBALS[:2]}, r"train_clip\.npy has 2 rows, expected one per image \(3\)"),
        ({"regions": REGIONS[..., :10]}, r"train_ims\.npy holds float32 \[3, 4, 10\], .* of 3 axes, the last 2048"),
        ({"regions": REGIONS.astype(np.int64)}, r"train_ims\.npy holds int64"),
        ({"global_features": REGIONS}, r"train_clip\.npy holds .* expected floats of 2 axes, the last 512"),
        ({"regions": np.concatenate([REGIONS, REGIONS])}, "rows 0 to 1 of one image differ"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    def read() -> int:
        files = open_scan(tmp_path, "train")
        files.global_features()
        return len(files.regions().rows)

    write_scan(tmp_path, "train", IDS, **changes)
    with pytest.raises(DataError, match=message):
        read()
    write_scan(tmp_path, "train", IDS)
    assert read() == 3


@pytest.mark.parametrize("name", ["train_caps.txt", "train_ids.txt", "train_ims.npy"])
def test_a_missing_or_foreign_file_is_named(name: str, tmp_path: Path) -> None:
    write_scan(tmp_path, "train", IDS)
    (tmp_path / name).write_bytes(b"\xff\x00")
    with pytest.raises(DataError, match=name):
        open_scan(tmp_path, "train").regions()
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"{name} is not there; SCAN's format has it"):
        open_scan(tmp_path, "train").regions()
