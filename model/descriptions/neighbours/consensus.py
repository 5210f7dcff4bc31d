"""Which captions of some images say what most of them say (Devlin et al., arXiv 1505.04467; here by tf-idf)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Floats = NDArray[np.float32]

_WORD = re.compile(r"[a-z0-9']+")


class NeighbourSettings(BaseModel):
    """`neighbours` images are looked at, and `sentences` of their captions become the description.

    A caption that says what is said already counts for less, by `repetition` times its similarity.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    neighbours: int = Field(default=10, ge=1)
    sentences: int = Field(default=3, ge=1)
    repetition: float = Field(default=0.5, ge=0)


def consensus(
    captions: Sequence[tuple[str, float]], rarity: Mapping[str, float], settings: NeighbourSettings
) -> list[str]:
    """The captions that agree most with all, each with the weight of its image; the best first."""
    weighted = _tf_idf([text for text, _ in captions], rarity)  # [c, V]
    similarity = weighted @ weighted.T
    score = similarity @ np.array([max(weight, 0.0) for _, weight in captions], np.float32)
    score = score / max(float(score.max(initial=0.0)), 1e-12)
    chosen: list[int] = []
    for _ in range(min(settings.sentences, len(captions))):
        best = int(score.argmax())
        chosen.append(best)
        score = score - settings.repetition * similarity[best]
        score[best] = -np.inf
    return [captions[row][0] for row in chosen]


def rarity_of(captions: Sequence[Sequence[str]]) -> dict[str, float]:
    """ln(images / images whose captions have the word), by word."""
    counts = Counter(word for own in captions for word in {each for text in own for each in words_of(text)})
    return {word: float(np.log(len(captions) / count)) for word, count in counts.items()}


def words_of(text: str) -> list[str]:
    """Words in lower case."""
    return _WORD.findall(text.lower())


def as_sentence(text: str) -> str:
    """A caption with one full stop, as captions of data sets rarely end."""
    return text.strip().rstrip(" .") + "."


def _tf_idf(texts: Sequence[str], rarity: Mapping[str, float]) -> Floats:
    """L2-normalised rows [n, V] over the words of these texts."""
    bags = [Counter(words_of(text)) for text in texts]
    vocabulary = {word: column for column, word in enumerate(sorted({word for bag in bags for word in bag}))}
    table = np.zeros((len(texts), len(vocabulary)), np.float32)
    for row, bag in enumerate(bags):
        for word, count in bag.items():
            table[row, vocabulary[word]] = count * rarity.get(word, 0.0)
    unit: Floats = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return unit
