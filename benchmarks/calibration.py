"""What the probabilities of a calibrated model are worth in smaller galleries than the one that they were fitted on.

    python benchmarks/calibration.py checkpoints/mini --data dataset_flickr8k.json --images images

Reads val alone; each size is the mean of ten draws of images with their captions. The figures of the whole val split
here are those of the pairs that the curve was fitted on; `aahr calibrate` prints those of cross-validation.
"""

import argparse
from pathlib import Path

import numpy as np

from model.calibration import read_calibration
from training.calibration import calibration_errors, positives
from training.evaluate import score_pairs
from training.evaluation_data import EvaluationData

DRAWS = 10


def main() -> None:
    """Print a table of gallery sizes and errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "aahr")
    given = parser.parse_args()
    calibration = read_calibration(given.directory, expected="a calibrated model")
    dataset, scores = score_pairs(given.directory, EvaluationData(given.data, given.images, "val"), given.cache)
    right, generator = positives(dataset), np.random.default_rng(0)
    print("| images | captions | text to image | image to text |\n|---:|---:|---:|---:|")
    for size in (100, 300, 500, len(dataset)):
        found = []
        for _ in range(DRAWS if size < len(dataset) else 1):
            images = generator.permutation(len(dataset))[:size]
            captions = np.flatnonzero(np.isin(dataset.image_of_caption, images))
            part = np.ix_(images, captions)
            found.append(calibration_errors(calibration, scores[part], right[part]))
        means = {name: np.mean([errors[name] for errors in found]) for name in found[0]}
        to_image, to_text = means["text_to_image_calibration_error"], means["image_to_text_calibration_error"]
        print(f"| {size} | {len(captions)} | {to_image:.1f} | {to_text:.1f} |")


if __name__ == "__main__":
    main()
