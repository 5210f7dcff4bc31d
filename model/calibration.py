"""From the cosine of a text and an image to the probability that they belong together.

The probability is that of a pair drawn at random from the best `top` answers of a query to the gallery that it was
fitted on: how often an answer with such a score was the labelled one. In a gallery of another size there are as many
times more wrong answers of each score, which divides the odds by that.
"""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from model.manifest import parse_json_file, write_text_atomically

CALIBRATION = "calibration.json"

Probability = Annotated[float, Field(ge=0, le=1)]
Probabilities = NDArray[np.float64]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Logistic(_Frozen):
    """1 / (1 + exp(-(slope x + intercept))) of a score x (Platt, 1999)."""

    method: Literal["logistic"] = "logistic"
    slope: FiniteFloat = Field(ge=0)
    intercept: FiniteFloat

    def probabilities(self, scores: ArrayLike) -> Probabilities:
        """Probabilities of scores, of any shape."""
        logits = np.clip(self.slope * np.asarray(scores, np.float64) + self.intercept, -500, 500)
        return np.asarray(1 / (1 + np.exp(-logits)))


class Isotonic(_Frozen):
    """Straight lines between points that never fall (Zadrozny and Elkan, 2002); level outside of them."""

    method: Literal["isotonic"] = "isotonic"
    scores: tuple[FiniteFloat, ...] = Field(min_length=1)
    points: tuple[Probability, ...]

    @model_validator(mode="after")
    def _monotone(self) -> "Isotonic":
        if len(self.scores) != len(self.points):
            raise ValueError(f"there are {len(self.scores)} scores for {len(self.points)} points")
        if any(np.diff(self.scores) <= 0) or any(np.diff(self.points) < 0):
            raise ValueError("scores must rise and points must not fall")
        return self

    def probabilities(self, scores: ArrayLike) -> Probabilities:
        """Probabilities of scores, of any shape."""
        return np.asarray(np.interp(np.asarray(scores, np.float64), self.scores, self.points))


class DirectionCalibration(_Frozen):
    """One direction of search.

    Attributes:
        curve: from scores to probabilities.
        margin: cosines; two answers whose scores differ by no more are in an order that is little better than a coin.
        gallery: items that were searched when it was fitted.
        pairs: of a query and an answer that it was fitted on.
        matches: the share of them that belong together, 0 to 1.
        calibration_error: expected calibration error in cross-validation on the same pairs, 0 to 1.
    """

    curve: Annotated[Logistic | Isotonic, Field(discriminator="method")]
    margin: FiniteFloat = Field(ge=0)
    gallery: int = Field(gt=0)
    pairs: int = Field(gt=0)
    matches: Probability
    calibration_error: Probability

    def probabilities(self, scores: ArrayLike, gallery: int) -> Probabilities:
        """Probabilities of scores, of any shape, in a gallery of so many items (at least one)."""
        found = self.curve.probabilities(scores)
        ratio = self.gallery / max(gallery, 1)
        return found * ratio / (found * ratio + 1 - found)


class Calibration(_Frozen):
    """What `calibration.json` holds; `data` says what it was fitted on, `top` how many answers of a query counted."""

    format: Literal["aahr-calibration/1"] = "aahr-calibration/1"
    data: str
    top: int = Field(gt=0)
    text_to_image: DirectionCalibration
    image_to_text: DirectionCalibration


def read_calibration(directory: Path, *, expected: str) -> Calibration:
    """That of a directory; raises ArtifactMissing and ArtifactCorrupt."""
    return parse_json_file(directory / CALIBRATION, Calibration, expected=expected)


def write_calibration(directory: Path, calibration: Calibration) -> None:
    """Write calibration.json."""
    write_text_atomically(directory / CALIBRATION, calibration.model_dump_json(indent=2) + "\n")
