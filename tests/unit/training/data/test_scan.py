"""Regions, captions and CLIP's embeddings of a SCAN directory as training reads them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model.datasets.scan import open_scan
from model.errors import ConfigError, DataError
from model.nn.backbones import load_image_backbone
from model.preprocess import decode_image, prepare_images
from tests.scan_files import globals_of, regions_of, write_pictures, write_scan
from tests.tiny_transformers import write_clip
from training.data.scan import check_regions, clip_features, region_table, scan_dataset, write_clip_features

IDS = (7, 3, 12)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"), projection=512)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "images", tmp_path / "id_mapping.json", IDS)
    return tmp_path / "images"


def embeddings_by_hand(clip: Path, images: tuple[Path, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """CLIP as the backbone of images gives its global feature."""
    backbone = load_image_backbone("clip", clip)
    assert backbone.preprocessing is not None
    pixels = prepare_images([decode_image(path) for path in images], backbone.preprocessing)
    with torch.inference_mode():
        found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = backbone(
            torch.from_numpy(pixels)
        ).global_features.numpy()
    return found


def test_a_split_becomes_a_data_set(tmp_path: Path) -> None:
    files = open_scan(write_scan(tmp_path / "f30k", "dev", IDS, per_image=3), "val")
    dataset = scan_dataset(files)
    assert dataset.name == "f30k dev"
    assert dataset.image_ids.tolist() == list(IDS)
    assert dataset.image_of_caption.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert dataset.caption_ids.tolist() == list(range(9))
    assert str(dataset.image_paths[1]).endswith("dev_ims.npy/3")


def test_an_empty_caption_is_named(tmp_path: Path) -> None:
    files = open_scan(write_scan(tmp_path, "train", IDS, captions=["a", "b", " ", "d", "e", "f"]), "train")
    with pytest.raises(DataError, match=r"caption 2 of .* train is empty"):
        scan_dataset(files)


def test_the_table_holds_regions_beside_global_features(tmp_path: Path) -> None:
    files = open_scan(write_scan(tmp_path, "train", IDS, regions=np.repeat(regions_of(IDS), 2, axis=0)), "train")
    table = region_table(files, None, None, tmp_path / "cache")
    assert isinstance(table.item(1), np.memmap)
    found = table.batch(np.array([2, 0]))
    torch.testing.assert_close(found.features, torch.from_numpy(regions_of(IDS)[[2, 0]]))
    torch.testing.assert_close(found.global_features, torch.from_numpy(globals_of(IDS)[[2, 0]]))
    assert found.mask.all()


def test_without_embeddings_clip_sees_the_images(tmp_path: Path, images: Path, clip: Path) -> None:
    files = open_scan(write_scan(tmp_path / "precomp", "train", IDS, global_features=None), "train")
    paths = scan_dataset(files, images).image_paths
    expected = embeddings_by_hand(clip, paths)
    check_regions(files, images, clip)
    table = region_table(files, images, clip, tmp_path / "cache")
    np.testing.assert_allclose(table.global_features, expected, atol=1e-5)
    for path in paths[:2]:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        clip_features(paths, clip, tmp_path / "cache")


def test_embeddings_are_computed_once(
    tmp_path: Path, images: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = open_scan(write_scan(tmp_path / "precomp", "train", IDS, global_features=None), "train")
    first = region_table(files, images, clip, tmp_path / "cache").global_features
    monkeypatch.setattr("training.data.features.make_extractor", None)
    np.testing.assert_array_equal(region_table(files, images, clip, tmp_path / "cache").global_features, first)


def test_nothing_that_gives_global_features_is_refused(tmp_path: Path, images: Path, clip: Path) -> None:
    files = open_scan(write_scan(tmp_path / "precomp", "train", IDS, global_features=None), "train")
    for arguments in ((None, None), (images, None), (None, clip)):
        with pytest.raises(ConfigError, match=r"train_clip\.npy is not there: .*`images` and `clip`"):
            check_regions(files, *arguments)
    (images / files.image_names()[1]).unlink()
    with pytest.raises(DataError, match=r"1 of 3 images of train of .* are not below"):
        check_regions(files, images, clip)


def test_a_clip_of_another_width_is_refused(tmp_path: Path, images: Path) -> None:
    files = open_scan(write_scan(tmp_path / "precomp", "train", IDS, global_features=None), "train")
    with pytest.raises(ConfigError, match="embeddings of 24, regions go with those of 512"):
        region_table(files, images, write_clip(tmp_path / "narrow"), tmp_path / "cache")


def test_embeddings_are_written_for_every_split_that_lacks_them(tmp_path: Path, images: Path, clip: Path) -> None:
    directory = write_scan(tmp_path / "precomp", "train", IDS)
    write_scan(directory, "dev", IDS[:2], global_features=None)
    written = write_clip_features(directory, images, clip, tmp_path / "cache")
    assert [path.name for path in written] == ["dev_clip.npy"]
    files = open_scan(directory, "val")
    expected = embeddings_by_hand(clip, scan_dataset(files, images).image_paths)
    np.testing.assert_allclose(files.global_features(), expected, atol=1e-5)
    np.testing.assert_array_equal(open_scan(directory, "train").global_features(), globals_of(IDS))
    assert write_clip_features(directory, images, clip, tmp_path / "cache") == []
    assert not list(directory.glob(".*"))
    with pytest.raises(DataError, match=r"holds no \{split\}_caps\.txt"):
        write_clip_features(images, images, clip, tmp_path / "cache")
