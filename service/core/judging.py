"""How probable the hits of a query are, and which of them are as good as the best: for calibrated models."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from index.collection import Hit
from index.items import Modality
from model.calibration import Calibration, DirectionCalibration
from service.core.query import Query

# Of twenty best answers with this probability, one is right.
_IMPROBABLE = 0.05
_DECIMALS = 6


class Judged(NamedTuple):
    """Of each hit: its probability, and whether the best one is better by no more than chance (None: not known)."""

    probabilities: Sequence[float]
    equally_good: Sequence[bool | None]
    note: str | None = None


def judge(
    calibration: Calibration | None,
    query: Query,
    modality: Modality,
    target: Modality,
    hits: Sequence[Hit],
    *,
    gallery: int,
) -> Judged | None:
    """None where nothing is calibrated for the query: a mix, a bare vector, or its own modality as the target.

    `modality` is that of the query, and `gallery` the number of items of the target's. On later pages nothing is said
    of what is equally good, since the best hit is not there.
    """
    direction = _direction(calibration, query, modality, target)
    if direction is None:
        return None
    scores = np.array([hit.score for hit in hits], np.float64)
    probabilities = direction.probabilities(scores, gallery).round(_DECIMALS).tolist()
    if query.options.offset or not hits:
        return Judged(probabilities, [None] * len(hits))
    equally_good = (scores >= scores[0] - direction.margin).tolist()
    best = probabilities[0]
    note = f"no answer is probable; the best has a probability of {best:.3f}" if best < _IMPROBABLE else None
    return Judged(probabilities, equally_good, note)


def _direction(
    calibration: Calibration | None, query: Query, modality: Modality, target: Modality
) -> DirectionCalibration | None:
    if calibration is None or not query.crosses(modality, target):
        return None
    return calibration.text_to_image if target is Modality.IMAGE else calibration.image_to_text
