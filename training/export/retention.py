"""What a variant keeps of the fp32 graphs on val: where the data lies, the figures, and the refusal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.errors import AahrError, DataError, TrainingError
from model.preprocess import ImagePreprocessing, decode_image, prepare_images
from training.config import TrainingConfig
from training.data.karpathy import load_karpathy
from training.data.sources import drawn_scenes
from training.evaluate import evaluate
from training.export.parity import draw_examples

MOST_LOST_RSUM = 1.0
CALIBRATION_PICTURES = 64
_PICTURES_AT_ONCE = 4

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HeldOut:
    """A data set of the recipe: a file in Karpathy's format with its pictures, or a directory in SCAN's format."""

    name: str
    data: Path
    images: Path | None
    cache: Path

    def measure(self, directory: Path) -> dict[str, float]:
        """Retrieval metrics of an exported model on the val split.

        Raises DataError, naming the options that say where the data is, where it cannot be read.
        """
        try:
            return evaluate(
                directory, data=self.data, images=self.images, split="val", judgments=None, cache=self.cache
            )
        except DataError as error:
            raise DataError(
                f"{error}; a variant is measured on val before it is written: --data and --images say where that is"
            ) from error

    def calibration(self, preprocessing: ImagePreprocessing) -> list[Floats]:
        """Batches of pixels of training pictures, spread over the split; of drawn scenes where there are none."""
        try:
            dataset = load_karpathy(self.data, self.images or Path(), "train")
            rows = np.linspace(0, len(dataset) - 1, min(len(dataset), CALIBRATION_PICTURES)).astype(int)
            pictures = [decode_image(dataset.image_paths[row], at_least=preprocessing.size) for row in rows]
        except AahrError:
            pictures, _ = draw_examples(CALIBRATION_PICTURES)
        starts = range(0, len(pictures), _PICTURES_AT_ONCE)
        return [prepare_images(pictures[start : start + _PICTURES_AT_ONCE], preprocessing) for start in starts]


def held_out(config: TrainingConfig, data: Path | None, images: Path | None, cache: Path) -> HeldOut:
    """The data set on whose val split the checkpoint was chosen; `data` and `images` say where else it lies."""
    source = config.data[config.select_on]
    if data is not None:
        return HeldOut(config.select_on, data, images or source.images, cache)
    if source.format == "scenes":
        directory = drawn_scenes(source, cache)
        return HeldOut(config.select_on, directory / "scenes.json", directory / "images", cache)
    captions = source.directory if source.format == "scan" else source.captions
    assert captions is not None  # the recipe was checked
    return HeldOut(config.select_on, captions, images or source.images, cache)


def refuse_loss(exact: Mapping[str, float], variant: Mapping[str, float], precision: str) -> None:
    """Raise TrainingError where a variant has lost more than 1 rSum on val."""
    if not variant["rsum"] >= exact["rsum"] - MOST_LOST_RSUM:  # nor where a figure is no number
        raise TrainingError(
            f"the {precision} graphs have rSum {variant['rsum']:.2f} on val, the fp32 graphs {exact['rsum']:.2f}: at "
            f"most {MOST_LOST_RSUM:g} may be lost, so nothing was written; serve the fp32 model"
        )
