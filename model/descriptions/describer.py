"""What every describer is, whether it asks a server, a classifier or a gallery."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from PIL import Image

from model.descriptions.file import Source


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be described: an image, decoded upright in RGB, or one caption of it.

    Attributes:
        name: path below the folder of images, as `Description.image`.
        image: neither side needs to be larger than `Describer.at_least`.
        caption: goes into the prompt; at test time that must not be one that people wrote (the command sees to it).
    """

    name: str
    image: Image.Image
    caption: str | None = None


class Rejected(NamedTuple):
    """Why there is no description: an empty answer, a refusal, one that is too long, a server that does not answer.

    Only the last has `answered` False: other images would fare the same.
    """

    reason: str
    answered: bool = True


class Describer(Protocol):
    """Puts images into words; several threads may call one at once."""

    @property
    def source(self) -> Source:
        """Its name and the hash of all that its wording follows from."""

    @property
    def at_least(self) -> int:
        """How large, in pixels of either side, an image has to be decoded for it."""

    def describe(self, subjects: Sequence[Subject]) -> list[str | Rejected]:
        """A description for each subject, in their order; a bad one never costs the others."""
