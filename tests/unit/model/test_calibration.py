"""The calibration of an artifact: read with it, bound to it by its hash, and never half believed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.artifact import load_model_artifact
from model.calibration import CALIBRATION, DirectionCalibration, Isotonic, Logistic
from model.errors import ArtifactCorrupt, ArtifactMissing
from tests.artifacts import rewrite_manifest, write_calibrated, write_colour_model


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_calibrated(write_colour_model(tmp_path / "model")).directory


def test_it_comes_with_the_artifact_and_changes_no_id(directory: Path, tmp_path: Path) -> None:
    calibrated, plain = load_model_artifact(directory), write_colour_model(tmp_path / "plain")
    assert calibrated.calibration is not None
    assert calibrated.calibration.text_to_image.curve.probabilities(0.5) == pytest.approx(0.5)
    assert plain.calibration is None
    assert calibrated.manifest.model_id == plain.manifest.model_id


def test_a_changed_byte_is_refused(directory: Path) -> None:
    path = directory / CALIBRATION
    path.write_text(path.read_text().replace("0.05", "0.06"))
    with pytest.raises(ArtifactCorrupt, match=rf"{CALIBRATION} has SHA-256"):
        load_model_artifact(directory)
    path.unlink()
    with pytest.raises(ArtifactMissing, match=CALIBRATION):
        load_model_artifact(directory)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "aahr-calibration/9"},
        {"top": 0},
        {"text_to_image": None},
        {"text_to_image": {"curve": {"method": "guess"}}},
        {"unknown": 1},
    ],
)
def test_a_calibration_of_another_shape_is_refused(directory: Path, change: dict[str, Any]) -> None:
    artifact = load_model_artifact(directory)
    path = directory / CALIBRATION
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    rewrite_manifest(artifact)
    with pytest.raises(ArtifactCorrupt, match=CALIBRATION):
        load_model_artifact(directory)


def test_a_file_that_the_manifest_does_not_name_is_not_believed(directory: Path, tmp_path: Path) -> None:
    plain = write_colour_model(tmp_path / "plain")
    (plain.directory / CALIBRATION).write_bytes((directory / CALIBRATION).read_bytes())
    assert load_model_artifact(plain.directory).calibration is None


@pytest.mark.parametrize(("scores", "points"), [((0.1, 0.1), (0, 1)), ((0, 1), (0.5, 0.4)), ((0, 1), (0.5,)), ((), ())])
def test_curves_that_fall_are_refused(scores: tuple[float, ...], points: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"rise|scores"):
        Isotonic(scores=scores, points=points)


def test_no_score_is_too_large_for_a_curve() -> None:
    curve = Logistic(slope=1e6, intercept=0.0)
    assert curve.probabilities([-1e6, 0.0, 1e6]) == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize("curve", [Logistic(slope=3.0, intercept=-1.0), Isotonic(scores=(0, 1), points=(0, 1))])
def test_in_a_gallery_twice_as_large_the_odds_are_half(curve: Logistic | Isotonic) -> None:
    direction = DirectionCalibration(curve=curve, margin=0.1, gallery=50, pairs=9, matches=0.5, calibration_error=0.0)
    scores = np.array([0.2, 0.5, 0.9])
    same, double = direction.probabilities(scores, 50), direction.probabilities(scores, 100)
    assert same == pytest.approx(curve.probabilities(scores))
    assert double / (1 - double) == pytest.approx(same / (1 - same) / 2)
    assert direction.probabilities([0.0, 1.0], 0) == pytest.approx(direction.probabilities([0.0, 1.0], 1))
    assert direction.probabilities([-9.0, 9.0], 10**9).tolist() == pytest.approx([0, 1], abs=1e-2)
