"""SCAN's format in both of its customs, one row per image and one per caption, and with counts that do not fit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.errors import DataError
from training.data.scan import load_scan

IDS = (7, 3, 12)
REGIONS = np.random.default_rng(0).random((3, 4, 2048)).astype(np.float32)
GLOBALS = np.random.default_rng(1).random((3, 512)).astype(np.float32)


def write(folder: Path, split: str = "train", *, per_image: int = 2, **changes: Any) -> Path:
    """Three images; `changes` replace captions, ids, regions or global features."""
    content: dict[str, Any] = {
        "captions": [f"caption {place} of {number}" for number in IDS for place in range(per_image)],
        "ids": IDS,
        "regions": REGIONS,
        "global_features": GLOBALS,
    } | changes
    (folder / f"{split}_caps.txt").write_text("\n".join(content["captions"]) + "\n", encoding="utf-8")
    (folder / f"{split}_ids.txt").write_text("\n".join(map(str, content["ids"])) + "\n")
    np.save(folder / f"{split}_ims.npy", content["regions"])
    np.save(folder / f"{split}_clip.npy", content["global_features"])
    return folder


@pytest.mark.parametrize("per_image", [1, 2, 5])
def test_captions_per_image_are_the_ratio(per_image: int, tmp_path: Path) -> None:
    data = load_scan(write(tmp_path, per_image=per_image), "train").dataset
    assert data.image_ids.tolist() == list(IDS)
    assert data.image_of_caption.tolist() == [row for row in range(3) for _ in range(per_image)]
    assert data.captions[-1] == f"caption {per_image - 1} of 12"
    assert data.caption_ids.tolist() == list(range(3 * per_image))


@pytest.mark.parametrize("repeated", ["ids", "regions", "global_features", "all"])
def test_rows_may_stand_once_per_caption(repeated: str, tmp_path: Path) -> None:
    whole = {"ids": np.array(IDS), "regions": REGIONS, "global_features": GLOBALS}
    names = list(whole) if repeated == "all" else [repeated]
    changes: dict[str, Any] = {name: np.repeat(whole[name], 5, axis=0) for name in names}
    write(tmp_path, per_image=5, **changes)
    scan = load_scan(tmp_path, "train")
    assert scan.dataset.image_ids.tolist() == list(IDS)
    assert len(scan.dataset.captions) == 15
    assert scan.global_features is not None
    found = scan.table(scan.global_features).batch(np.array([2, 0]))
    torch.testing.assert_close(found.features, torch.from_numpy(REGIONS[[2, 0]]))
    torch.testing.assert_close(found.global_features, torch.from_numpy(GLOBALS[[2, 0]]))
    assert found.mask.all()


def test_regions_stay_on_disk(tmp_path: Path) -> None:
    scan = load_scan(write(tmp_path), "train")
    assert isinstance(scan.regions, np.memmap)
    assert isinstance(scan.table(GLOBALS).item(1), np.memmap)


def test_val_is_also_called_dev(tmp_path: Path) -> None:
    write(tmp_path, "dev")
    assert load_scan(tmp_path, "val").dataset.name.endswith(" val")
    write(tmp_path, "val", captions=["other"] * 3)
    assert load_scan(tmp_path, "val").dataset.captions == ("other",) * 3


def test_a_caption_may_hold_any_character(tmp_path: Path) -> None:
    captions = ["a\u2028b", "c\x0bd \r", "e\x85f"]
    assert load_scan(write(tmp_path, captions=captions), "train").dataset.captions == ("a\u2028b", "c\x0bd", "e\x85f")


def test_without_global_features_the_raw_pictures_are_named(tmp_path: Path) -> None:
    directory, images = write(tmp_path), tmp_path / "images"
    (directory / "train_clip.npy").unlink()
    (images / "train2014").mkdir(parents=True)
    names = {str(number): f"train2014/{number}.jpg" for number in (*IDS, 99)}
    for number in IDS:
        (images / names[str(number)]).touch()
    (directory / "id_mapping.json").write_text(json.dumps(names))
    scan = load_scan(directory, "train", images)
    assert scan.global_features is None
    assert scan.dataset.image_paths == tuple(images / "train2014" / f"{number}.jpg" for number in IDS)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (None, r"id_mapping\.json cannot be read as JSON from id to file name"),
        ("[1]", r"id_mapping\.json cannot be read as JSON from id to file name"),
        ('{"7": "7.jpg"}', r"id_mapping\.json lacks 2 of 3 ids, the first is 3"),
        ('{"7": "7.jpg", "3": "3.jpg", "12": "12.jpg"}', r"3 of 3 pictures of .* the first is .*7\.jpg"),
    ],
)
def test_raw_pictures_that_are_not_there(mapping: str | None, message: str, tmp_path: Path) -> None:
    write(tmp_path)
    if mapping is not None:
        (tmp_path / "id_mapping.json").write_text(mapping)
    with pytest.raises(DataError, match=message):
        load_scan(tmp_path, "train", tmp_path / "images")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"captions": ["a"] * 7}, r"7 captions and 3 lines of 3 ids in .* no whole number of captions per image"),
        ({"ids": (7, 7, 3, 12)}, r"6 captions and 4 lines of 3 ids in .* no whole number"),
        ({"ids": (7, 7, 7, 3, 12, 12)}, r"6 captions and 6 lines of 3 ids in .* no whole number"),
        ({"ids": (7, 3, 12, 7)}, "has an id in two places"),
        ({"ids": ("7", "x", "12")}, "holds a line that is no number"),
        ({"captions": ["a", "b", " ", "d", "e", "f"]}, "caption 2 of .* train is empty"),
        ({"regions": REGIONS[:2]}, r"train_ims\.npy has 2 rows, expected one per image \(3\) or caption \(6\)"),
        ({"global_features": GLOBALS[:2]}, r"train_clip\.npy has 2 rows, expected one per image \(3\)"),
        ({"regions": REGIONS[..., :10]}, r"train_ims\.npy holds float32 \[3, 4, 10\], .* of 3 axes, the last 2048"),
        ({"regions": REGIONS.astype(np.int64)}, r"train_ims\.npy holds int64"),
        ({"global_features": REGIONS}, r"train_clip\.npy holds .* expected floats of 2 axes, the last 512"),
        ({"regions": np.concatenate([REGIONS, REGIONS])}, "rows 0 to 1 of one image differ"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_scan(write(tmp_path, **changes), "train")
    assert len(load_scan(write(tmp_path), "train").dataset) == 3


@pytest.mark.parametrize("name", ["train_caps.txt", "train_ids.txt", "train_ims.npy"])
def test_a_missing_or_foreign_file_is_named(name: str, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(b"\xff\x00")
    with pytest.raises(DataError, match=name):
        load_scan(tmp_path, "train")
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match=f"{name} is not there; SCAN's format has it"):
        load_scan(tmp_path, "train")
