"""What is asked and what was found, whatever protocol it came by."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.collection import Hit, SearchOptions
from index.items import Modality
from service.core.errors import InvalidField

Embedding = NDArray[np.float32]  # [D], L2-normalised


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence, cleaned."""

    text: str

    @property
    def modality(self) -> Modality:
        """Of its embedding."""
        return Modality.TEXT

    @property
    def digest(self) -> str:
        """Equal exactly for equal sentences, and never that of an image."""
        return "t" + hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Image:
    """The bytes of an image file."""

    content: bytes

    @property
    def modality(self) -> Modality:
        """Of its embedding."""
        return Modality.IMAGE

    @property
    def digest(self) -> str:
        """Equal exactly for equal files, and never that of a sentence."""
        return "i" + hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True)
class Id:
    """An item of the gallery."""

    id: str


@dataclass(frozen=True, slots=True)
class Vector:
    """Numbers of the model's dimension, of any length but zero."""

    values: Sequence[float]


Source = Text | Image | Id | Vector


class Weighted(NamedTuple):
    """A part of a query; a negative weight leads away from it."""

    source: Source
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """The parts are embedded, weighted and added up; `target` None is the modality that the query is not.

    With `unique`, hits whose cosine with a better one is at least that are left out.
    """

    parts: tuple[Weighted, ...]
    target: Modality | None = None
    options: SearchOptions = field(default_factory=SearchOptions)
    unique: float | None = None

    def crosses(self, modality: Modality, target: Modality) -> bool:
        """Whether it is one text, image or item, of this modality, that searches the other one."""
        source, weight = self.parts[0]
        return len(self.parts) == 1 and weight > 0 and not isinstance(source, Vector) and modality is not target


class Embedded(NamedTuple):
    """A query as a vector; its modality decides what is searched by default.

    `description` is what an image was described as, for a model that fuses that. `lasting`: the same would be found the
    next time; not so where a describer failed.
    """

    embedding: Embedding
    modality: Modality
    truncated: bool = False
    notes: tuple[str, ...] = ()
    description: str | None = None
    lasting: bool = True


class Results(NamedTuple):
    """The hits, what was searched, and where that differs from what was asked.

    Of each hit: `probabilities` and `equally_good` (`service.core.judging`); None where the model is not calibrated for
    the query.
    """

    hits: Sequence[Hit]
    target: Modality
    truncated: bool = False
    notes: tuple[str, ...] = ()
    description: str | None = None
    lasting: bool = True
    probabilities: Sequence[float] | None = None
    equally_good: Sequence[bool | None] | None = None


def unit_vector(values: Sequence[float], dimension: int, field_name: str = "embedding") -> Embedding:
    """Finite numbers as an L2-normalised embedding [D]; raises InvalidField for a wrong dimension or all zeros."""
    if len(values) != dimension:
        raise InvalidField(f"the embedding has {len(values)} numbers, the model takes {dimension}", field_name)
    vector = np.array(values, np.float64)
    largest = np.abs(vector).max()
    if largest == 0.0:
        raise InvalidField(
            "the embedding is all zeros, which has no direction; send a vector that is not zero", field_name
        )
    # The squares of very large numbers overflow, those of very small ones vanish.
    vector /= largest
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def combined(parts: Sequence[tuple[float, Embedded]]) -> Embedded:
    """The weighted sum of some embeddings, normalised.

    A mix with a text or a vector in it searches images unless the request says otherwise: it describes one. Raises
    InvalidField where the parts cancel each other out.
    """
    if len(parts) == 1:
        weight, only = parts[0]
        return only if weight > 0 else only._replace(embedding=-only.embedding)
    total = np.sum([weight * part.embedding.astype(np.float64) for weight, part in parts], axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise InvalidField("the parts of the mix cancel each other out; change a weight", "mix")
    modalities = {part.modality for _, part in parts}
    return Embedded(
        (total / length).astype(np.float32),
        Modality.IMAGE if modalities == {Modality.IMAGE} else Modality.TEXT,
        any(part.truncated for _, part in parts),
        tuple(note for _, part in parts for note in part.notes),
        next((part.description for _, part in parts if part.description is not None), None),
        all(part.lasting for _, part in parts),
    )
