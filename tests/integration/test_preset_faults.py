"""Data that a preset cannot be trained on is refused at the start, before a feature is computed."""

from pathlib import Path

import pytest

from model.errors import ConfigError, DataError
from tests.presets import TRAIN_IDS, VAL_IDS, recipe, write_karpathy
from tests.scan_files import write_scan
from tests.tiny_transformers import write_bert, write_clip
from training.train import train


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("dev_caps.txt", "", r"dev_caps\.txt is empty: the split has no image"),
        ("dev_caps.txt", "the dog\n" * 13, r"13 captions and 6 lines of 6 ids in .* no whole number of captions"),
        ("dev_ids.txt", "", r"dev_ids\.txt is empty: the split has no image"),
        ("dev_clip.npy", None, r"dev_clip\.npy is not there: .*`images` and `clip`"),
        ("dev_ims.npy", None, r"dev_ims\.npy is not there"),
        ("train_ids.txt", None, r"train_ids\.txt is not there"),
    ],
)
def test_faulty_data_is_refused_before_anything_is_computed(
    name: str,
    content: str | None,
    message: str,
    tmp_path: Path,
    bert: Path,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for prefix, ids in (("train", TRAIN_IDS), ("dev", VAL_IDS)):
        write_scan(tmp_path, prefix, ids)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_text(content)
    monkeypatch.setattr("training.data.sources.region_table", None)
    config = recipe("paper-f30k", bert, clip, f"data.captioned.directory={tmp_path}")
    with pytest.raises((DataError, ConfigError), match=message):
        train(config, tmp_path / "run", tmp_path / "cache")
    assert not (tmp_path / "run").exists()


def test_images_without_val_are_refused_before_anything_is_computed(
    tmp_path: Path, bert: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, images = write_karpathy(tmp_path, ("train", "restval", "test"))
    monkeypatch.setattr("training.data.sources.image_feature_tables", None)
    places = (f"data.photographs.captions={data}", f"data.photographs.images={images}")
    config = recipe("clip", bert, clip, *places, f"model.image_backbone.path={clip}")
    with pytest.raises(DataError, match="no image of split 'val'; its splits: restval, test, train"):
        train(config, tmp_path / "run", tmp_path / "cache")
    assert not (tmp_path / "run").exists()
