"""A SCAN directory as a source."""

from pathlib import Path

import numpy as np
import pytest

from index.sources import read_regions
from model.errors import DataError
from tests.scan_files import globals_of, regions_of, write_pictures, write_scan

IDS = (31, 4, 15)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "precomp", "dev", IDS, per_image=3)


def test_records_are_named_by_their_ids(directory: Path) -> None:
    source = read_regions(directory, "val")
    assert [record.uri for record in source.records] == ["31", "4", "15"]
    assert source.images_root == directory.resolve()
    lines = (directory / "dev_caps.txt").read_text().splitlines()
    captions = [(caption.text, caption.place) for caption in source.records[1].captions]
    assert captions == [(lines[row], f"dev_caps.txt, line {row + 1}") for row in (3, 4, 5)]
    assert source.records[1].payload == {"image_id": 4}
    assert source.regions is not None
    np.testing.assert_array_equal(source.regions.global_features, globals_of(IDS))
    np.testing.assert_array_equal(source.regions.regions.of(slice(0, 3)), regions_of(IDS))


def test_records_are_named_by_their_raw_images(directory: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_pictures(images, tmp_path / "id_mapping.json", IDS)
    source = read_regions(directory, "val", images)
    assert source.records[1].uri == "val2014/COCO_val2014_000000000004.jpg"
    assert source.images_root == images.resolve()
    (images / source.records[1].uri).unlink()
    with pytest.raises(DataError, match=r"1 of 3 images are not below .*000004\.jpg"):
        read_regions(directory, "val", images)


def test_other_arrays_have_another_stamp(directory: Path) -> None:
    before = read_regions(directory, "val").regions
    np.save(directory / "dev_ims.npy", regions_of(IDS) + 1)
    after = read_regions(directory, "val").regions
    assert before is not None
    assert after is not None
    assert before.stamp != after.stamp


def test_what_is_missing_is_named(directory: Path) -> None:
    with pytest.raises(DataError, match=r"test_caps\.txt is not there"):
        read_regions(directory, "test")
    with pytest.raises(DataError, match="no split 'dev'"):
        read_regions(directory, "dev")
    (directory / "dev_clip.npy").unlink()
    with pytest.raises(DataError, match=r"dev_clip\.npy is not there: .*`aahr data clip` makes them"):
        read_regions(directory, "val")
