"""`aahr calibrate`: from the scores of a checkpoint or model on val to the probabilities that travel with it."""

import shutil
from pathlib import Path

from model.artifact import ModelManifest
from model.calibration import CALIBRATION, Calibration, DirectionCalibration, write_calibration
from model.manifest import MANIFEST, describe_files, published_directory, read_manifest, write_text_atomically
from training.calibration import TOP, best_pairs, positives
from training.calibration import calibrate as fitted
from training.checkpoint import CheckpointManifest, is_exported
from training.evaluate import score_pairs
from training.evaluation_data import EvaluationData


def calibrate(directory: Path, on: EvaluationData, cache: Path) -> list[str]:
    """Fit both directions on a split, which should be val, and put them into the directory in one rename.

    Returns what was found, in lines for people. An earlier calibration is replaced; the model's id stays, and with it
    every index. Raises DataError for data that cannot be calibrated on, and what `aahr evaluate` raises.
    """
    dataset, scores = score_pairs(directory, on, cache)
    right = positives(dataset)
    calibration = Calibration(
        data=dataset.name,
        top=TOP,
        text_to_image=fitted(best_pairs(scores.T, right.T)),
        image_to_text=fitted(best_pairs(scores, right)),
    )
    attach(directory, calibration)
    return [
        _shown(f"{directory}: text to image", calibration.text_to_image),
        _shown(f"{directory}: image to text", calibration.image_to_text),
    ]


def attach(directory: Path, calibration: Calibration) -> None:
    """Put a calibration into a checkpoint or model, and its hash into the manifest."""
    kind: type[ModelManifest] | type[CheckpointManifest] = (
        ModelManifest if is_exported(directory) else CheckpointManifest
    )
    with published_directory(directory) as staging:
        shutil.copytree(directory, staging, dirs_exist_ok=True)
        write_calibration(staging, calibration)
        manifest = read_manifest(staging, kind, expected="a checkpoint or model")
        files = {**manifest.files, **describe_files(staging, [CALIBRATION])}
        changed = manifest.model_copy(update={"files": dict(sorted(files.items()))})
        write_text_atomically(staging / MANIFEST, changed.model_dump_json(indent=2) + "\n")


def _shown(name: str, found: DirectionCalibration) -> str:
    return (
        f"{name}: {found.curve.method}, calibration error {100 * found.calibration_error:.2f} hundredths in "
        f"cross-validation on {found.pairs} pairs ({100 * found.matches:.1f} % match), margin {found.margin:.4f}"
    )
