"""Fit a calibration: which pairs count, the two kinds of curve, the choice between them, and the margin. All pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from model.calibration import Calibration, DirectionCalibration, Isotonic, Logistic
from model.errors import DataError
from training.data.dataset import ImageTextDataset

TOP = 10
BINS = 15
_FOLDS = 5
_MARGIN_BINS = 40
_BETTER_THAN_A_COIN = 0.6
_NEWTON_STEPS = 50
# What a staircase must be better by, in log-loss: it says 0 and 1 at its ends and ties in between, a logistic does not.
_WORTH = 0.99
# Below this a probability counts as this much in the log-loss: isotonic curves say 0 and 1.
_LEAST = 1e-3

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]
Curve = Logistic | Isotonic
Fit = Callable[[Floats, Booleans], Curve]


class Pairs(NamedTuple):
    """The best answers of Q queries, best first."""

    scores: Floats  # [Q, top]
    matches: Booleans  # [Q, top], whether the answer is one of the query's positives
    gallery: int


def best_pairs(scores: NDArray[np.floating], positive: Booleans, top: int = TOP) -> Pairs:
    """The `top` best of each row of scores [Q, G]; `positive` [Q, G] says which answers are right."""
    top = min(top, scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return Pairs(
        np.take_along_axis(scores, order, 1).astype(np.float64), np.take_along_axis(positive, order, 1), scores.shape[1]
    )


def calibrate(pairs: Pairs) -> DirectionCalibration:
    """A curve fitted on all pairs, and the margin.

    The curve is logistic, unless an isotonic one has a log-loss at least 1 % lower in cross-validation over queries.

    Raises DataError for fewer than 100 queries, and for pairs that are all right or all wrong.
    """
    if len(pairs.scores) < 100 or pairs.matches.all() or not pairs.matches.any():
        raise DataError(
            f"{len(pairs.scores)} queries with {int(pairs.matches.sum())} right answers cannot be calibrated on: give "
            "a split with at least 100 queries, some of whose best answers are right and some wrong"
        )
    smooth, stairs = (cross_validated(pairs, fit) for fit in (fit_logistic, fit_isotonic))
    isotonic = log_loss(stairs, pairs.matches) < _WORTH * log_loss(smooth, pairs.matches)
    fit: Fit = fit_isotonic if isotonic else fit_logistic
    return DirectionCalibration(
        curve=fit(pairs.scores.ravel(), pairs.matches.ravel()),
        margin=margin_of(pairs),
        gallery=pairs.gallery,
        pairs=pairs.scores.size,
        matches=float(pairs.matches.mean()),
        calibration_error=expected_calibration_error(stairs if isotonic else smooth, pairs.matches),
    )


def cross_validated(pairs: Pairs, fit: Fit) -> Floats:
    """The probability of each pair [Q, top] by a curve that was fitted on the queries of the other folds."""
    found = np.empty_like(pairs.scores)
    fold = np.arange(len(pairs.scores)) * _FOLDS // len(pairs.scores)  # in a block: captions of an image stay together
    for number in range(_FOLDS):
        rest = fold != number
        curve = fit(pairs.scores[rest].ravel(), pairs.matches[rest].ravel())
        found[~rest] = curve.probabilities(pairs.scores[~rest])
    return found


def fit_logistic(scores: Floats, matches: Booleans) -> Logistic:
    """Maximum likelihood by Newton's method, on Platt's softened labels, which keep the slope finite."""
    right = int(matches.sum())
    labels = np.where(matches, (right + 1) / (right + 2), 1 / (len(matches) - right + 2))
    centre, scale = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - centre) / scale, np.ones_like(scores)], axis=1)  # [n, 2]
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        found = 1 / (1 + np.exp(-design @ weights))
        curvature = design.T @ (design * (found * (1 - found))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (labels - found))
        weights += step
        if np.abs(step).max() < 1e-10:
            break
    slope = max(0.0, float(weights[0])) / scale  # a score never counts against a match
    return Logistic(slope=slope, intercept=float(weights[1]) - slope * centre)


def fit_isotonic(scores: Floats, matches: Booleans) -> Isotonic:
    """Pool adjacent violators; each level becomes one point at the mean of its scores."""
    order = np.argsort(scores, kind="stable")
    regression = isotonic_regression(matches[order].astype(np.float64))
    starts = regression.blocks[:-1]
    centres = np.add.reduceat(scores[order], starts) / np.diff(regression.blocks)
    levels = regression.x[starts]
    kept = np.append(True, np.diff(centres) > 0)
    return Isotonic(
        scores=tuple(np.round(centres[kept], 6).tolist()), points=tuple(np.clip(levels[kept], 0, 1).round(6).tolist())
    )


def calibration_errors(calibration: Calibration, scores: NDArray[np.floating], positive: Booleans) -> dict[str, float]:
    """The expected calibration error of each direction, in hundredths, from scores and positives [N, M].

    Of the same number of best answers as it was fitted on.
    """
    directions = {
        "image_to_text": (calibration.image_to_text, best_pairs(scores, positive, calibration.top)),
        "text_to_image": (calibration.text_to_image, best_pairs(scores.T, positive.T, calibration.top)),
    }
    return {
        f"{name}_calibration_error": 100
        * expected_calibration_error(own.probabilities(pairs.scores, pairs.gallery), pairs.matches)
        for name, (own, pairs) in directions.items()
    }


def positives(dataset: ImageTextDataset) -> Booleans:
    """Which captions [M] hold for which images [N], as far as it is known: [N, M]."""
    known: Booleans = dataset.image_of_caption[None] == np.arange(len(dataset))[:, None]
    captions, images = dataset.also_holds.T
    known[images, captions] = True
    return known


def log_loss(probabilities: Floats, matches: Booleans) -> float:
    """Mean negative log-likelihood, in nats."""
    given = np.clip(probabilities, _LEAST, 1 - _LEAST)
    return float(-np.where(matches, np.log(given), np.log(1 - given)).mean())


def expected_calibration_error(probabilities: Floats, matches: Booleans, bins: int = BINS) -> float:
    """Mean over bins of equal mass of |share of matches - mean probability|, 0 to 1."""
    order = np.argsort(probabilities.ravel(), kind="stable")
    gaps = [
        (len(rows), abs(matches.ravel()[rows].mean() - probabilities.ravel()[rows].mean()))
        for rows in np.array_split(order, bins)
        if len(rows)
    ]
    return float(sum(count * gap for count, gap in gaps) / len(order))


def margin_of(pairs: Pairs) -> float:
    """The smallest difference of scores from which the higher of two answers is the right one in 60 % of cases.

    Cases are two of the best answers of one query of which exactly one is right. The share is taken in 40 bins of equal
    mass along the difference, made monotone; where no bin reaches it, the margin is the largest difference.
    """
    gaps, right = _decisions(pairs)
    if not len(gaps):
        return 0.0
    order = np.argsort(gaps, kind="stable")
    bins = [rows for rows in np.array_split(order, min(_MARGIN_BINS, len(order))) if len(rows)]
    shares = isotonic_regression([right[rows].mean() for rows in bins], weights=[len(rows) for rows in bins]).x
    reached = np.flatnonzero(shares >= _BETTER_THAN_A_COIN)
    return float(gaps[bins[reached[0]]].min()) if len(reached) else float(gaps.max())


def _decisions(pairs: Pairs) -> tuple[Floats, Booleans]:
    """The difference of scores of each case [n], and whether the higher one was right."""
    found = list(_by_distance(pairs))
    return np.concatenate([gaps for gaps, _ in found]), np.concatenate([right for _, right in found])


def _by_distance(pairs: Pairs) -> Iterator[tuple[Floats, Booleans]]:
    top = pairs.scores.shape[1]
    yield np.empty(0), np.empty(0, np.bool_)
    for higher in range(top):
        for lower in range(higher + 1, top):
            decided = pairs.matches[:, higher] != pairs.matches[:, lower]
            yield (pairs.scores[:, higher] - pairs.scores[:, lower])[decided], pairs.matches[decided, higher]
