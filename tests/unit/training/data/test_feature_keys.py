"""Whatever changes what a backbone sees of an image, or returns for it, has a cache of its own."""

from pathlib import Path

import PIL
import pytest

from tests.unit.training.data.backbones import ColourGrid
from training.data import augmentation
from training.data.augmentation import PLAIN, View
from training.data.features import image_feature_table
from training.data.table import FeatureTable


def tables(backbone: ColourGrid, paths: list[Path], cache: Path, *, view: View = PLAIN) -> FeatureTable:
    return image_feature_table(backbone, paths, cache, view=view, progress=False)


def test_other_weights_have_another_cache(images: list[Path], cache: Path) -> None:
    tables(ColourGrid(), images, cache)
    other = ColourGrid("second", gain=2.0)
    tables(other, images, cache)
    assert other.images == 10


def test_other_preprocessing_has_another_cache(images: list[Path], cache: Path) -> None:
    tables(ColourGrid(), images, cache)
    other = ColourGrid()
    assert other.preprocessing is not None
    other.preprocessing = other.preprocessing.model_copy(update={"mean": (0.1,) * 3})
    tables(other, images, cache)
    assert other.images == 10


def test_another_pillow_has_another_cache(images: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = ColourGrid()
    tables(backbone, images, cache)
    monkeypatch.setattr(PIL, "__version__", "0.0.1")
    tables(backbone, images, cache)
    assert backbone.images == 20


@pytest.mark.parametrize(("name", "value"), [("SMALLEST_AREA", 0.9), ("LARGEST_STRETCH", 0.1)])
def test_other_crops_have_another_cache(
    name: str, value: float, images: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = ColourGrid()
    for view in (PLAIN, View(crop=0)):
        tables(backbone, images, cache, view=view)
    monkeypatch.setattr(augmentation, name, value)
    tables(backbone, images, cache, view=View(crop=0))
    assert backbone.images == 30
    tables(backbone, images, cache)
    assert backbone.images == 30, "whole images do not depend on how crops are drawn"
