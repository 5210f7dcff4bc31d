"""Model and index in memory: what answers a query. No HTTP here."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from index.collection import Collection, SearchOptions
from index.collection.open import open_store
from index.collection.store import Store
from index.items import Modality
from index.queries import check_model, resolve_target, search_unique
from model.errors import InvalidInput
from model.preprocess import decode_image
from model.runtime import Runtime
from service.api.errors import InvalidField, NotReadyError
from service.api.rendering import shown_fields
from service.api.schemas import Hit, QueryEcho, SearchRequest, SearchResult
from service.core.served import Served
from service.obs.timing import Stopwatch

log = logging.getLogger(__name__)

_ENCODER_FAILED = "an encoder failed; see the service log. GET /health/ready tries it again"


class EncodedQuery(NamedTuple):
    """A query as a vector; its modality decides what is searched by default."""

    embedding: NDArray[np.float32]  # [1, D], L2-normalised
    modality: Modality
    notes: tuple[str, ...] = ()
    truncated: bool = False


class Engine:
    """One model, and the version of its index that is served; every method may be called from many threads at once.

    `served` is replaced by reference: a request takes it once and finishes with the version that it started with. That
    version is freed when the last such request has ended.
    """

    def __init__(self, runtime: Runtime, store: Store, index: Collection) -> None:
        """Raises ArtifactMismatch unless the index was built with the model."""
        check_model(index, runtime)
        self.runtime = runtime
        self._store = store
        self.served = Served.of(index, runtime)
        self._warm = False
        self._failure: str | None = None
        self._reloading = Lock()

    @property
    def location(self) -> str:
        """Where the index is, for the log; never with credentials."""
        return self._store.location

    @property
    def index(self) -> Collection:
        """The version of the index being served now."""
        return self.served.index

    @classmethod
    def load(cls, location: str | Path, model_directory: Path | None = None, *, workers: int | None = None) -> Self:
        """The published version of the index, and its model: the one it remembers unless another place is given.

        Raises ArtifactMissing, ArtifactCorrupt and ArtifactMismatch.
        """
        store = open_store(location)
        index = store.open()
        return cls(Runtime.load(model_directory or index.model_directory, workers=workers), store, index)

    def warm_up(self) -> None:
        """Run both encoders once; `check_ready` then says whether they work."""
        try:
            self.runtime.warm_up()
        except Exception:
            self._failure = _ENCODER_FAILED
            log.exception("an encoder failed")
        else:
            self._warm, self._failure = True, None

    @property
    def has_failed(self) -> bool:
        """Whether an encoder failed in the last warm-up or since then; another warm-up may fix it."""
        return self._failure is not None

    def check_ready(self) -> None:
        """Raises NotReadyError, with the reason, until both encoders are warm, and after one of them has failed."""
        if self._failure is not None:
            raise NotReadyError(self._failure)
        if not self._warm:
            raise NotReadyError("the encoders are still warming up; try again in a second")

    def search(self, request: SearchRequest, index: Collection, watch: Stopwatch) -> SearchResult:
        """Answer one request from one version of the index; the watch gets the parts "encode" and "search".

        Raises InvalidInput or ItemNotFound for an unusable query, NotReadyError where an encoder fails.
        """
        with watch.measure("encode"):
            query = self._encode(request, index)
        with watch.measure("search"):
            wanted = Modality(request.target) if request.target else None
            target, note = resolve_target(query.modality, wanted, index)
            options = SearchOptions(request.limit, request.offset, request.score_threshold, request.filter)
            hits = search_unique(index, query.embedding, target, options, request.unique)
        shown = [Hit(**shown_fields(hit.item, request.with_payload), score=hit.score) for hit in hits]
        hidden = [hit.id for hit in shown if request.with_payload and hit.payload is None]
        return SearchResult(
            results=shown,
            query=QueryEcho(
                type=request.type,
                text=request.text,
                id=request.id,
                target=target,
                truncated=query.truncated,
                notes=[
                    *query.notes,
                    *([note] if note else []),
                    *(f"the payload of {hit_id} is nested too deeply to be shown" for hit_id in hidden),
                ],
            ),
        )

    def reload(self) -> tuple[Collection, Collection]:
        """Load and check the newly published version, then serve it; returns the old version and the new one.

        Raises ArtifactMissing, ArtifactCorrupt and ArtifactMismatch; the old version is then served as before.
        """
        with self._reloading:
            old = self.index
            new = self._store.open(shared=old)
            check_model(new, self.runtime)
            self.served = Served.of(new, self.runtime)
        return old, new

    def close(self) -> None:
        """Let the encoders finish what they are doing, then stop them."""
        self.runtime.close()

    def _encode(self, request: SearchRequest, index: Collection) -> EncodedQuery:
        if request.id is not None:
            return EncodedQuery(index.embedding(request.id)[None], index.item(request.id).modality)
        if request.embedding is not None:
            # A bare vector has no modality: like a text, it searches images unless the request says otherwise.
            return EncodedQuery(unit_vector(request.embedding, self.runtime.dimension)[None], Modality.TEXT)
        with self._failures_noted():
            if request.image is not None:
                return self._encode_image(request.image)
            return self._encode_text(request.text or "")

    def _encode_text(self, text: str) -> EncodedQuery:
        tokens = self.runtime.tokenizer([text])
        truncated = bool(tokens.truncated[0])
        notes = (f"the text was cut off after {tokens.input_ids.shape[1]} tokens",) if truncated else ()
        return EncodedQuery(self.runtime.encode_tokens(tokens), Modality.TEXT, notes, truncated)

    def _encode_image(self, image: bytes) -> EncodedQuery:
        """Decoded as the gallery was, so that an image of the gallery finds itself with a score of one."""
        preprocessing = self.runtime.preprocessing.image
        decoded = decode_image(image, at_least=preprocessing.size if preprocessing else None)
        return EncodedQuery(self.runtime.encode_images([decoded]), Modality.IMAGE)

    @contextmanager
    def _failures_noted(self) -> Iterator[None]:
        """Whatever is not a fault of the input is a fault of the encoders, and must show in the readiness."""
        try:
            yield
        except InvalidInput:
            raise
        except Exception as error:
            self._failure = _ENCODER_FAILED
            log.exception("an encoder failed")
            raise NotReadyError(self._failure) from error


def unit_vector(values: list[float], dimension: int) -> NDArray[np.float32]:
    """Finite numbers as an L2-normalised embedding [D]; raises InvalidField for a wrong dimension or all zeros."""
    if len(values) != dimension:
        raise InvalidField(f"the embedding has {len(values)} numbers, the model takes {dimension}", "embedding")
    vector = np.array(values, np.float64)
    largest = np.abs(vector).max()
    if largest == 0.0:
        raise InvalidField(
            "the embedding is all zeros, which has no direction; send a vector that is not zero", "embedding"
        )
    # The squares of very large numbers overflow, those of very small ones vanish.
    vector /= largest
    return (vector / np.linalg.norm(vector)).astype(np.float32)
