"""A SCAN directory as a gallery: names, captions, and embeddings of regions."""

from pathlib import Path

import numpy as np
import pytest

from index.embed import embed_regions
from index.regions import RegionGallery, read_region_gallery
from model.datasets.scan import RegionArrays
from model.errors import DataError, InvalidInput, UnsupportedQuery
from model.runtime import Runtime
from tests.artifacts import write_colour_model, write_region_model
from tests.scan_files import globals_of, write_pictures, write_scan

IDS = (31, 4, 15)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "precomp", "dev", IDS, per_image=3)


def captions_of(gallery: RegionGallery, uri: str) -> list[tuple[str, str]]:
    return [(caption.text, caption.place) for caption in gallery.captions.by_uri[uri].captions]


def test_items_are_named_by_their_ids(directory: Path) -> None:
    gallery = read_region_gallery(directory, "val", None)
    assert gallery.found.uris == ["31", "4", "15"]
    assert gallery.found.root == directory.resolve()
    lines = (directory / "dev_caps.txt").read_text().splitlines()
    assert captions_of(gallery, "4") == [(lines[row], f"dev_caps.txt, line {row + 1}") for row in (3, 4, 5)]
    assert gallery.captions.by_uri["4"].payload == {"image_id": 4}
    np.testing.assert_array_equal(gallery.global_features, globals_of(IDS))


def test_items_are_named_by_their_pictures(directory: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    write_pictures(images, tmp_path / "id_mapping.json", IDS)
    gallery = read_region_gallery(directory, "val", images)
    assert gallery.found.uris[1] == "val2014/COCO_val2014_000000000004.jpg"
    assert gallery.found.root == images.resolve()
    (images / gallery.found.uris[1]).unlink()
    with pytest.raises(DataError, match=r"1 of 3 pictures are not below .*000004\.jpg"):
        read_region_gallery(directory, "val", images)


def test_what_is_missing_is_named(directory: Path) -> None:
    with pytest.raises(DataError, match=r"test_caps\.txt is not there"):
        read_region_gallery(directory, "test", None)
    with pytest.raises(DataError, match="no split 'dev'"):
        read_region_gallery(directory, "dev", None)
    (directory / "dev_clip.npy").unlink()
    with pytest.raises(DataError, match=r"dev_clip\.npy is not there: .*`aahr data clip` makes them"):
        read_region_gallery(directory, "val", None)


def test_regions_are_embedded_in_order_and_a_bad_one_costs_no_other(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = generator.uniform(-1, 1, (8, 5, 3)).astype(np.float16)
    whole = generator.uniform(-1, 1, (4, 3)).astype(np.float32)
    values[4, 2, 1] = np.nan
    done: list[int] = []
    with Runtime.load(write_region_model(tmp_path / "regions"), workers=1) as runtime:
        regions = RegionArrays(values, np.array([0, 2, 4, 6]))
        found = embed_regions(runtime, regions, whole, done.append)
        chosen, mask = values[[0, 2, 6]].astype(np.float32), np.ones((3, 5), np.bool_)
        expected = runtime.encode_regions(chosen, mask, whole[[0, 1, 3]])
    assert isinstance(found[2], InvalidInput)
    np.testing.assert_allclose([found[0], found[1], found[3]], expected, atol=1e-6)
    assert sum(done) == 4


def test_a_model_of_pictures_is_refused(tmp_path: Path) -> None:
    regions = RegionArrays(np.zeros((1, 5, 3), np.float32), np.arange(1))
    with (
        Runtime.load(write_colour_model(tmp_path / "model"), workers=1) as runtime,
        pytest.raises(UnsupportedQuery, match="takes pictures, not precomputed regions"),
    ):
        embed_regions(runtime, regions, np.zeros((1, 3), np.float32), lambda _: None)
