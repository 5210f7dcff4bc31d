"""What a variant keeps of the fp32 graphs on val: where the data lies, the figures, and the refusal."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.artifact import IMAGE_GRAPH, Precision
from model.errors import DataError, InvalidInput, TrainingError
from model.preprocess import ImagePreprocessing, decode_image, prepare_image
from training.config import TrainingConfig
from training.data.formats import FileFormat, read_split
from training.data.sources import drawn_scenes
from training.evaluate import evaluate
from training.evaluation_data import EvaluationData
from training.export.parity import draw_examples
from training.export.variants import write_fp16, write_int8

MAX_RSUM_DROP = 1.0
CALIBRATION_IMAGES = 64
_IMAGES_AT_ONCE = 4

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HeldOut:
    """A data set of the recipe; without a format, `data` is a file in Karpathy's or a directory in SCAN's."""

    name: str
    data: Path
    images: Path | None
    cache: Path
    descriptions: Path | None = None
    data_format: FileFormat | None = None

    def measure(self, directory: Path) -> dict[str, float]:
        """Retrieval metrics of an exported model on the val split.

        Raises DataError, naming the options that say where the data is, where it cannot be read.
        """
        try:
            on = EvaluationData(
                self.data, self.images, "val", descriptions=self.descriptions, data_format=self.data_format
            )
            return evaluate(directory, on, self.cache)
        except DataError as error:
            raise DataError(
                f"{error}; a variant is measured on val before it is written: --data and --images say where that is",
                detail=error.detail,
            ) from error

    def calibration(self, preprocessing: ImagePreprocessing) -> list[Floats]:
        """Batches of pixels of training images, spread over the split; of drawn scenes where there are none.

        Images that cannot be read are left out with a warning, and so are all of them.
        """
        pixels = self._training_pixels(preprocessing)
        if not pixels:
            _log.warning(
                "int8 is calibrated on drawn scenes, as no training image of %s could be read: --data and --images "
                "say where they are",
                self.data,
            )
            pixels = [prepare_image(image, preprocessing) for image in draw_examples(CALIBRATION_IMAGES)[0]]
        starts = range(0, len(pixels), _IMAGES_AT_ONCE)
        return [np.stack(pixels[start : start + _IMAGES_AT_ONCE]) for start in starts]

    def _training_pixels(self, preprocessing: ImagePreprocessing) -> list[Floats]:
        try:
            dataset = read_split(self.data, self.images, "train", self.data_format)
        except DataError as error:
            _log.warning("%s", error)
            return []
        rows = np.linspace(0, len(dataset) - 1, min(len(dataset), CALIBRATION_IMAGES)).astype(int)
        pixels = []
        for path in (dataset.image_paths[row] for row in rows):
            try:
                pixels.append(prepare_image(decode_image(path, at_least=preprocessing.size), preprocessing))
            except InvalidInput as error:
                _log.warning("int8 is calibrated without one of the training images: %s", error.with_detail)
        return pixels


def held_out(
    config: TrainingConfig, data: Path | None, images: Path | None, cache: Path, descriptions: Path | None = None
) -> HeldOut:
    """The data set on whose val split the checkpoint was chosen; the other arguments say where else it lies."""
    source, name = config.data[config.select_on], config.select_on
    described = descriptions or source.descriptions
    own_format: FileFormat | None = source.format if source.format in ("n24news", "rsitmd") else None
    if data is not None:
        return HeldOut(name, data, images or source.images, cache, described, own_format)
    if source.format == "scenes":
        directory = drawn_scenes(source, cache)
        return HeldOut(name, directory / "scenes.json", directory / "images", cache, described)
    assert source.source is not None  # the recipe was checked
    return HeldOut(name, source.source, images or source.images, cache, described, own_format)


def write_variant(
    exact: Path,
    staging: Path,
    precision: Precision,
    text_graphs: Sequence[str],
    place: HeldOut,
    preprocessing: ImagePreprocessing | None,
) -> None:
    """The image graph and the named text graphs of a folder in fp16 or int8, in another folder.

    int8 reads its ranges from training images of `place`; without `preprocessing`, a model of regions, it needs none.
    """
    if precision == "fp16":
        for graph in (IMAGE_GRAPH, *text_graphs):
            write_fp16(exact / graph, staging / graph)
        return
    calibration = [] if preprocessing is None else place.calibration(preprocessing)
    write_int8(exact / IMAGE_GRAPH, staging / IMAGE_GRAPH, calibration)
    for graph in text_graphs:
        write_int8(exact / graph, staging / graph)


def refuse_loss(exact: Mapping[str, float], variant: Mapping[str, float], precision: str) -> None:
    """Raise TrainingError where a variant has lost more than 1 rSum on val."""
    if not variant["rsum"] >= exact["rsum"] - MAX_RSUM_DROP:  # nor where a figure is not a number
        raise TrainingError(
            f"the {precision} graphs have rSum {variant['rsum']:.2f} on val, the fp32 graphs {exact['rsum']:.2f}: at "
            f"most {MAX_RSUM_DROP:g} may be lost, so nothing was written; serve the fp32 model"
        )
