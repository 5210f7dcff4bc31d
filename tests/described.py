"""Models that fuse semantics, files of descriptions, and a describer that knows colours, for tests."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageColor

from model.artifact import ModelArtifact, SemanticsReference
from model.descriptions import Description, Rejected, Source, Subject
from model.descriptions.file import as_lines
from tests.artifacts import COLOURS, write_colour_model

SOURCE = Source("tags", "f" * 16)
REFERENCE = SemanticsReference(**SOURCE._asdict(), sentence_encoder="colour-words")


def write_fusing_model(directory: Path, *, seed: int = 0) -> ModelArtifact:
    """The colour model, trained on descriptions by SOURCE."""
    return write_colour_model(directory, seed=seed, semantics=REFERENCE)


def write_descriptions(path: Path, images: Path, texts: Mapping[str, str], source: Source = SOURCE) -> Path:
    """A file as `aahr describe` writes it of images that are there, by their paths below `images`."""
    lines = [
        Description(
            image=uri,
            text=text,
            image_sha256=hashlib.sha256((images / uri).read_bytes()).hexdigest(),
            describer=source.describer,
            prompt_hash=source.prompt_hash,
        )
        for uri, text in texts.items()
    ]
    path.write_text(as_lines(lines), encoding="utf-8")
    return path


class ColourDescriber:
    """Says which colour is the nearest to the mean of an image; names in `refused` are rejected."""

    def __init__(self, refused: Sequence[str] = (), *, at_least: int = 4, source: Source = SOURCE) -> None:
        self.source, self.at_least = source, at_least
        self.batches: list[list[Subject]] = []
        self._refused = set(refused)
        self._lock = Lock()

    def describe(self, subjects: Sequence[Subject]) -> list[str | Rejected]:
        with self._lock:
            self.batches.append(list(subjects))
        return [
            Rejected("refused") if subject.name in self._refused else f"a {nearest_colour(subject.image)} square"
            for subject in subjects
        ]


def nearest_colour(image: Image.Image) -> str:
    """The name of the colour that is nearest to the mean of an RGB image."""
    mean = np.asarray(image, np.float64).reshape(-1, 3).mean(axis=0)
    return min(COLOURS, key=lambda name: float(np.square(mean - ImageColor.getrgb(name)[:3]).sum()))
