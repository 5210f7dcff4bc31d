"""Semantics at inference: sentence embeddings of descriptions and of texts, which the graphs of a model fuse (VSD)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact import ModelArtifact, Semantics
from model.errors import InvalidInput
from model.onnx_session import OUTPUTS, OnnxSession
from model.preprocess import TextTokenizer
from model.tokens import SENTENCE_TOKEN_INPUTS, TOKEN_INPUTS, Feeds, text_inputs

SEMANTICS_INPUT = "semantics"
SENTENCE_OUTPUTS = ("semantics",)
DESCRIPTIONS_AT_ONCE = 16

Floats = NDArray[np.float32]


class SentenceEncoder:
    """The frozen sentence encoder of a model that fuses semantics; calls from several threads at once are safe.

    Attributes:
        missing: [D], what stands in for a description that is missing.
    """

    def __init__(self, artifact: ModelArtifact, semantics: Semantics) -> None:
        self.missing: Floats = np.array(semantics.missing, np.float32)
        self._tokenizer = TextTokenizer(artifact.sentence_tokenizer_file, semantics.max_length)
        self._graph = OnnxSession(
            artifact.sentence_graph,
            inputs=TOKEN_INPUTS,
            dimension=artifact.manifest.dimension,
            outputs=SENTENCE_OUTPUTS,
        )

    @classmethod
    def of(cls, artifact: ModelArtifact) -> "SentenceEncoder | None":
        """That of a model; None for a model that fuses no semantics."""
        return None if artifact.semantics is None else cls(artifact, artifact.semantics)

    def describe(self, descriptions: Sequence[str | None]) -> Floats:
        """Descriptions to semantics [n, D]; None, or what is empty once cleaned, is a missing one."""
        rows = np.tile(self.missing, (len(descriptions), 1))
        given = [row for row, text in enumerate(descriptions) if text and text.strip()]
        for start in range(0, len(given), DESCRIPTIONS_AT_ONCE):
            chunk = given[start : start + DESCRIPTIONS_AT_ONCE]
            tokens = self._tokenizer([descriptions[row] or "" for row in chunk])
            rows[chunk] = self.encode(tokens.input_ids, tokens.attention_mask)
        return rows

    def encode(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> Floats:
        """Tokens [n, T] to semantics [n, D], L2-normalised."""
        feeds = dict(zip(TOKEN_INPUTS, (input_ids, attention_mask), strict=True))
        return self._graph.run(feeds, SENTENCE_OUTPUTS)[0]


class TextGraphs:
    """The text graph, behind the sentence encoder where the model fuses semantics: from tokens to what is asked for."""

    def __init__(self, artifact: ModelArtifact, sentences: SentenceEncoder | None) -> None:
        self._sentences = sentences
        own = text_inputs(artifact)
        inputs = own if sentences is None else (*own, SEMANTICS_INPUT)
        self._graph = OnnxSession(artifact.text_graph, inputs=inputs, dimension=artifact.manifest.dimension)
        self.inputs = own if sentences is None else (*own, *SENTENCE_TOKEN_INPUTS)

    @property
    def on_gpu(self) -> bool:
        return self._graph.on_gpu

    def check(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Raise InvalidInput for tokens that are not of the type and rank that the graphs take."""
        self._graph.check({name: feeds[name] for name in feeds if name not in SENTENCE_TOKEN_INPUTS})
        for name in set(feeds) & set(SENTENCE_TOKEN_INPUTS):
            if feeds[name].ndim != 2 or feeds[name].dtype != np.int64:
                raise InvalidInput(f"{name} is {feeds[name].dtype} {list(feeds[name].shape)}, int64 [M, T] is taken")

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] = OUTPUTS[:1]) -> list[Floats]:
        """Some rows of tokens, by the names in `inputs`; raises as OnnxSession."""
        if self._sentences is None:
            return self._graph.run(feeds, outputs)
        taken: Feeds = {name: feeds[name] for name in feeds if name not in SENTENCE_TOKEN_INPUTS}
        ids, mask = (feeds[name] for name in SENTENCE_TOKEN_INPUTS)
        return self._graph.run({**taken, SEMANTICS_INPUT: self._sentences.encode(ids, mask)}, outputs)
