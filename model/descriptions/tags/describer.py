"""Images in, sentences out: the classifier's tags and the colours of the same pixels, put into words."""

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.descriptions.file import Source
from model.descriptions.pixels import PixelDescriber
from model.descriptions.tags.classifier import TagClassifier
from model.descriptions.tags.colours import colour_layout
from model.descriptions.tags.evidence import gather
from model.descriptions.tags.grammar import sentence
from model.descriptions.tags.vocabulary import TAGS_FILE, TAGS_GRAPH, TagsFile, read_tags
from model.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput
from model.preprocess import ImagePreprocessing

NAME = "tags"

Floats = NDArray[np.float32]


class TagsDescriber(PixelDescriber):
    """Needs no server and no caption; its hash is of classes, thresholds, preprocessing, grammar and weights."""

    def __init__(self, classifier: TagClassifier, tags: TagsFile) -> None:
        super().__init__(Source(NAME, _hash_of(tags)), tags.preprocessing)
        self._classifier = classifier
        self._tags = tags

    def describe_pixels(self, pixels: Floats) -> list[str]:
        """Sentences for pixels [N, 3, S, S]; raises InvalidInput for an array of another form."""
        probabilities = self._classifier.probabilities(pixels)
        layouts = [colour_layout(to_rgb(each, self.preprocessing)) for each in pixels]
        return [
            sentence(gather(row, self._tags.classes), layout, self._tags.wording)
            for row, layout in zip(probabilities, layouts, strict=True)
        ]


def load_tags(directory: Path) -> TagsDescriber:
    """The describer whose tags.onnx and tags.json lie in a directory, such as that of a model.

    Runs the graph once, so that a broken one shows now. Raises ArtifactMissing where one of the two files is not there,
    ArtifactCorrupt where either cannot be read or they do not belong together, and ArtifactMismatch for words that
    another version of the grammar goes with.
    """
    tags = read_tags(directory / TAGS_FILE)
    graph = directory / TAGS_GRAPH
    if not graph.is_file():
        raise ArtifactMissing(
            f"{graph.name} is not there, but {TAGS_FILE} is; export the model again", detail=str(graph)
        )
    classifier = TagClassifier(graph, classes=len(tags.classes), temperature=tags.wording.temperature)
    size = tags.preprocessing.size
    try:
        classifier.probabilities(np.zeros((1, 3, size, size), np.float32))
    except InvalidInput as error:
        raise ArtifactCorrupt(
            f"{TAGS_FILE} does not fit its graph: {error}; export both again", detail=str(graph)
        ) from error
    return TagsDescriber(classifier, tags)


def _hash_of(tags: TagsFile) -> str:
    content = json.dumps(tags.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def to_rgb(pixels: Floats, preprocessing: ImagePreprocessing) -> NDArray[np.uint8]:
    """Prepared pixels [3, S, S] back to sRGB [S, S, 3]: exactly what they were before they were normalised."""
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (preprocessing.mean, preprocessing.std))
    values = np.rint((pixels * std + mean) * 255.0).clip(0, 255)
    rgb: NDArray[np.uint8] = values.astype(np.uint8).transpose(1, 2, 0)
    return rgb
