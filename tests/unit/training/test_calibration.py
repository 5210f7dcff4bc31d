"""The mathematics of calibration, and how it gets into a model."""

from pathlib import Path

import numpy as np
import pytest

from model.artifact import load_model_artifact
from model.calibration import CALIBRATION, Calibration
from model.errors import DataError
from tests.artifacts import write_calibrated, write_colour_model
from training.calibrate import attach
from training.calibration import (
    Pairs,
    best_pairs,
    calibrate,
    calibration_errors,
    cross_validated,
    expected_calibration_error,
    fit_isotonic,
    fit_logistic,
    margin_of,
)

SLOPE, INTERCEPT = 12.0, -7.0


def known_pairs(queries: int = 2000, seed: int = 0) -> Pairs:
    """Ten answers of each query, right with the probability of a known logistic curve."""
    generator = np.random.default_rng(seed)
    scores = -np.sort(-generator.uniform(0.2, 0.9, (queries, 10)), axis=1)
    return Pairs(scores, generator.random(scores.shape) < 1 / (1 + np.exp(-SLOPE * scores - INTERCEPT)), 1000)


def test_a_known_logistic_curve_is_found_again() -> None:
    pairs = known_pairs()
    found = fit_logistic(pairs.scores.ravel(), pairs.matches.ravel())
    assert (found.slope, found.intercept) == pytest.approx((SLOPE, INTERCEPT), rel=0.05)
    calibrated = calibrate(pairs)
    assert calibrated.curve.method == "logistic"
    assert calibrated.calibration_error < 0.02
    assert (calibrated.pairs, calibrated.gallery) == (20_000, 1000)


def test_stairs_are_fitted_with_stairs() -> None:
    pairs = known_pairs()
    steps = np.random.default_rng(1).random(pairs.scores.shape) < np.where(pairs.scores > 0.5, 0.6, 0.1)
    calibrated = calibrate(pairs._replace(matches=steps))
    assert calibrated.curve.method == "isotonic"
    assert calibrated.curve.probabilities([0.3, 0.8]) == pytest.approx([0.1, 0.6], abs=0.1)


@pytest.mark.parametrize("fit", [fit_logistic, fit_isotonic])
def test_a_higher_score_is_never_less_probable(fit: object) -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=300)
    for matches in (generator.random(300) < 0.3, scores < 0):  # without a relation, and against it
        assert callable(fit)
        probabilities = fit(scores, matches).probabilities(np.linspace(-4, 4, 500))
        assert (np.diff(probabilities) >= 0).all()
        assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_perfectly_separated_scores_have_a_finite_slope() -> None:
    found = fit_logistic(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert np.isfinite([found.slope, found.intercept]).all()
    assert found.probabilities(0.9) > 0.5 > found.probabilities(0.1)


def test_the_calibration_error_equals_the_slow_way() -> None:
    generator = np.random.default_rng(0)
    probabilities, matches = generator.random(30), generator.random(30) < 0.5
    order = sorted(range(30), key=lambda row: probabilities[row])
    groups = [order[start : start + 10] for start in range(0, 30, 10)]
    expected = sum(abs(np.mean(matches[rows]) - np.mean(probabilities[rows])) for rows in groups) / 3
    assert expected_calibration_error(probabilities, matches, bins=3) == pytest.approx(expected)
    assert expected_calibration_error(np.full(10, 0.9), np.zeros(10, bool)) == pytest.approx(0.9)
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0


def test_no_pair_is_judged_by_a_curve_that_has_seen_it() -> None:
    pairs = known_pairs(100)
    changed = pairs._replace(matches=np.vstack([~pairs.matches[:20], pairs.matches[20:]]))
    np.testing.assert_array_equal(
        cross_validated(pairs, fit_logistic)[:20], cross_validated(changed, fit_logistic)[:20]
    )
    assert not np.allclose(cross_validated(pairs, fit_logistic)[20:], cross_validated(changed, fit_logistic)[20:])


def test_the_best_of_each_row_with_what_they_are() -> None:
    scores = np.array([[0.1, 0.9, 0.5], [0.3, 0.2, 0.4]], np.float32)
    pairs = best_pairs(scores, np.array([[True, False, True], [False, True, False]]), top=2)
    np.testing.assert_allclose(pairs.scores, [[0.9, 0.5], [0.4, 0.3]], atol=1e-6)
    assert pairs.matches.tolist() == [[False, True], [False, False]]
    assert pairs.gallery == 3


def test_the_margin_is_where_order_begins_to_tell() -> None:
    generator = np.random.default_rng(0)
    gaps = generator.uniform(0, 0.2, 8000)
    right = generator.random(8000) < np.where(gaps < 0.1, 0.5, 0.9)
    pairs = Pairs(np.stack([gaps, np.zeros(8000)], axis=1), np.stack([right, ~right], axis=1), 100)
    assert margin_of(pairs) == pytest.approx(0.1, abs=0.01)
    coin = generator.random(8000) < 0.5
    assert margin_of(pairs._replace(matches=np.stack([coin, ~coin], axis=1))) == pytest.approx(0.2, abs=0.01)
    assert margin_of(pairs._replace(matches=np.ones((8000, 2), bool))) == 0  # nothing to decide


@pytest.mark.parametrize(("queries", "matches"), [(99, None), (200, True), (200, False)])
def test_too_little_to_fit_is_refused(queries: int, matches: bool | None) -> None:
    pairs = known_pairs(queries)
    if matches is not None:
        pairs = pairs._replace(matches=np.full_like(pairs.matches, matches))
    with pytest.raises(DataError, match="at least 100 queries"):
        calibrate(pairs)


def test_errors_of_both_directions_are_in_hundredths(calibration: Calibration) -> None:
    scores = np.full((4, 4), 0.5)
    found = calibration_errors(calibration, scores, np.eye(4, dtype=bool))
    own = calibration.text_to_image.curve.probabilities(0.5)
    assert set(found) == {"image_to_text_calibration_error", "text_to_image_calibration_error"}
    assert 0 < abs(float(own) - 0.25) * 100 <= found["text_to_image_calibration_error"] + 1e-9


@pytest.fixture
def calibration(tmp_path: Path) -> Calibration:
    found = write_calibrated(write_colour_model(tmp_path / "calibrated")).calibration
    assert found is not None
    return found


def test_attaching_keeps_the_id_and_every_file(tmp_path: Path, calibration: Calibration) -> None:
    before = write_colour_model(tmp_path / "model")
    for _ in range(2):  # the second replaces the first
        attach(before.directory, calibration)
    after = load_model_artifact(before.directory)
    assert after.calibration == calibration
    assert after.manifest.model_id == before.manifest.model_id
    assert set(after.manifest.files) - set(before.manifest.files) == {CALIBRATION}
    assert {name: after.manifest.files[name] for name in before.manifest.files} == before.manifest.files
