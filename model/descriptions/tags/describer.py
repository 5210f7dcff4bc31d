"""Images in, sentences out: the classifier's tags and the colours of the same pixels, put into words."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.descriptions.describer import Rejected, Subject
from model.descriptions.file import Source
from model.descriptions.tags.classifier import TagClassifier
from model.descriptions.tags.colours import colour_layout
from model.descriptions.tags.evidence import gather
from model.descriptions.tags.grammar import sentence
from model.descriptions.tags.vocabulary import TAGS_FILE, TAGS_GRAPH, TagsFile, read_tags
from model.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput
from model.preprocess import ImagePreprocessing, prepare_images

NAME = "tags"

Floats = NDArray[np.float32]


class TagsDescriber:
    """A `Describer` that needs no network and no caption; equal images get equal words, alone or in any batch."""

    def __init__(self, classifier: TagClassifier, tags: TagsFile) -> None:
        self._classifier = classifier
        self._tags = tags
        self._source = Source(NAME, _hash_of(tags))

    @property
    def source(self) -> Source:
        """ "tags", and the hash of the classes, the thresholds, the preprocessing, the grammar and the weights."""
        return self._source

    @property
    def at_least(self) -> int:
        """How large, in pixels of either side, an image has to be decoded."""
        return self.preprocessing.size

    @property
    def preprocessing(self) -> ImagePreprocessing:
        """How `describe_pixels` expects its pixels to be prepared."""
        return self._tags.preprocessing

    def describe(self, subjects: Sequence[Subject]) -> list[str | Rejected]:
        """A description of each image, in their order; captions are not looked at.

        One image is prepared at a time, so memory has a bound. Raises ArtifactError where the graph fails.
        """
        return [self._describe_one(subject) for subject in subjects]

    def describe_pixels(self, pixels: Floats) -> list[str]:
        """The same for pixels [N, 3, S, S] that `preprocessing` prepared; raises InvalidInput for any other array."""
        probabilities = self._classifier.probabilities(pixels)
        layouts = [colour_layout(to_rgb(each, self.preprocessing)) for each in pixels]
        return [
            sentence(gather(row, self._tags.classes), layout, self._tags.wording)
            for row, layout in zip(probabilities, layouts, strict=True)
        ]

    def _describe_one(self, subject: Subject) -> str | Rejected:
        try:
            return self.describe_pixels(prepare_images([subject.image], self.preprocessing))[0]
        except InvalidInput as error:
            return Rejected(str(error))


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
