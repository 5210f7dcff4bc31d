"""What the describers that work on prepared pixels share: one image at a time, and a bad one costs no other."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.descriptions.describer import Rejected, Subject
from model.descriptions.file import Source
from model.errors import InvalidInput
from model.preprocess import ImagePreprocessing, prepare_images

Floats = NDArray[np.float32]


class PixelDescriber(ABC):
    """A `Describer` of pixels; equal images get equal words, alone or in any batch. Safe to use from several threads.

    Attributes:
        source: its name, and the hash of all that its wording follows from.
        preprocessing: how `describe_pixels` expects its pixels to be prepared.
    """

    def __init__(self, source: Source, preprocessing: ImagePreprocessing) -> None:
        self.source, self.preprocessing = source, preprocessing

    @property
    def at_least(self) -> int:
        """How large, in pixels of either side, an image has to be decoded."""
        return self.preprocessing.size

    def describe(self, subjects: Sequence[Subject]) -> list[str | Rejected]:
        """A description of each image, in their order; captions are ignored.

        One image is prepared at a time, so memory has a bound. Raises ArtifactError where the graph fails.
        """
        return [self._describe_one(subject) for subject in subjects]

    @abstractmethod
    def describe_pixels(self, pixels: Floats) -> list[str]:
        """Descriptions of prepared pixels [N, 3, S, S]; raises InvalidInput for any other array."""

    def _describe_one(self, subject: Subject) -> str | Rejected:
        try:
            return self.describe_pixels(prepare_images([subject.image], self.preprocessing))[0]
        except InvalidInput as error:
            return Rejected(str(error))
