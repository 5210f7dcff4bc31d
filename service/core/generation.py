"""A generation: one model and one version of its index, which answer together or not at all."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np

from index.collection import Collection, Hit, SearchOptions
from index.collection.store import Store
from index.items import Modality
from index.queries import check_model, search_unique
from model.artifact import ModelArtifact, load_model_artifact
from model.calibration import CALIBRATION, Calibration
from model.errors import ArtifactCorrupt
from model.runtime import Runtime
from service.core.batching import BatchLimits, BatchOwner
from service.core.budget import Workers
from service.core.describing import Describing
from service.core.encoder import Encoder
from service.core.facets import Facets, facets_of
from service.core.query import Embedding
from service.obs.observers import QueueObserver

# How far the score of an item with itself may be from 1, and how many items are tried.
_NOISE = 1e-3
_TRIED = 4


@dataclass(frozen=True, slots=True)
class Lookup:
    """One embedded query, and how the collection is searched with it."""

    embedding: Embedding
    target: Modality
    options: SearchOptions
    unique: float | None = None


class Generation:
    """What a request leases: it never changes, and it is closed once it is retired and the last lease has ended.

    Leases are taken and given back on the event loop.
    """

    def __init__(self, encoder: "SharedEncoder", collection: Collection, search: BatchOwner[Lookup, list[Hit]]) -> None:
        """Raises ArtifactMismatch unless the index was built with the model."""
        check_model(collection, encoder.encoder.runtime)
        self.collection = collection
        self.search = search
        self._shared = encoder
        self._facets: asyncio.Future[Facets] | None = None
        self._leases = 0
        self._on_last: Callable[[], None] | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoders of the model."""
        return self._shared.encoder

    @property
    def calibration(self) -> Calibration | None:
        """From scores to probabilities, for a model that has it."""
        return self.encoder.runtime.artifact.calibration

    @property
    def scored_by(self) -> str:
        """The model that scores: equal ids give equal scores and equal probabilities."""
        artifact = self.encoder.runtime.artifact
        calibration = artifact.manifest.files.get(CALIBRATION)
        return artifact.manifest.model_id + ("" if calibration is None else f"-{calibration.sha256[:16]}")

    @property
    def key(self) -> str:
        """Equal exactly for equal models and contents, on every replica."""
        return f"{self.encoder.runtime.model_id}:{self.collection.index_id}"

    async def facets(self, workers: Workers) -> Facets:
        """What the gallery can be filtered by, counted once."""
        if self._facets is None or (self._facets.done() and self._facets.exception() is not None):
            self._facets = asyncio.ensure_future(workers.run(lambda: facets_of(self.collection)))
        return await asyncio.shield(self._facets)

    def __enter__(self) -> "Generation":
        self._leases += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._leases -= 1
        self._end_if_unused()

    def retire(self, on_last: Callable[[], None]) -> None:
        """No lease is taken any more; `on_last` is called when the last one has ended, which may be now."""
        self._on_last = on_last
        self._end_if_unused()

    def close(self) -> None:
        """Release files and memory; the encoders only where no other generation has them. Blocks."""
        self.collection.close()
        self._shared.release()

    def _end_if_unused(self) -> None:
        if self._on_last is not None and not self._leases:
            on_last, self._on_last = self._on_last, None
            on_last()


class SharedEncoder:
    """An encoder that several generations have: versions of one index, mostly."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._holders = 1
        self._lock = Lock()

    def hold(self) -> "SharedEncoder":
        """The same, to be released once more."""
        with self._lock:
            self._holders += 1
        return self

    def release(self) -> None:
        """Closes the encoder with the last holder."""
        with self._lock:
            self._holders -= 1
            last = not self._holders
        if last:
            self.encoder.close()


class Loader:
    """Makes generations: opens, checks and warms a version aside, while another one serves. Blocks."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        limits: BatchLimits,
        *,
        model_directory: Path | None = None,
        observer: QueueObserver | None = None,
        describing: Callable[[ModelArtifact, Workers], Describing | None] = lambda *_: None,
    ) -> None:
        """`model_directory`: where the model lies, if not where the index remembers it.

        `describing` makes what describes the images of requests for a model that fuses descriptions.
        """
        self.store = store
        self.workers = workers
        self._limits = limits
        self._model_directory = model_directory
        self._observer = observer
        self._describing = describing

    def load(self, serving: Generation | None = None) -> Generation:
        """The published version with its model; what it has in common with the generation that serves is shared.

        Raises ArtifactMissing, ArtifactCorrupt and ArtifactMismatch; the generation that serves is then as before.
        """
        collection = self.store.open(shared=None if serving is None else serving.collection)
        shared = self._encoder(collection, serving)
        try:
            generation = Generation(shared, collection, self._search_owner(collection))
            check_answers(collection)
        except Exception:
            shared.release()
            collection.close()
            raise
        return generation

    def _encoder(self, collection: Collection, serving: Generation | None) -> SharedEncoder:
        directory = self._model_directory or collection.model_directory
        if serving is not None:
            known = serving.encoder.runtime.artifact
            same_place = directory == known.directory and self._model_directory is None
            if collection.model.model_id == known.manifest.model_id and (same_place or not directory.exists()):
                return serving._shared.hold()
        artifact = load_model_artifact(directory)
        if serving is not None and artifact.manifest.model_id == serving.encoder.runtime.model_id:
            return serving._shared.hold()
        describing = self._describing(artifact, self.workers)
        encoder = Encoder(Runtime.load(artifact, workers=1), self.workers, self._limits, self._observer, describing)
        encoder.warm_up()
        if serving is not None and encoder.failure is not None:
            encoder.close()
            raise ArtifactCorrupt(f"the model {artifact.manifest.name} cannot be run; export it again (see the log)")
        return SharedEncoder(encoder)

    def _search_owner(self, collection: Collection) -> BatchOwner[Lookup, list[Hit]]:
        def search(lookups: Sequence[Lookup]) -> list[list[Hit]]:
            return search_together(collection, lookups)

        limits = BatchLimits(
            max_batch=2 * self._limits.max_batch,
            max_wait_s=self._limits.max_wait_s,
            max_queue=self._limits.max_queue,
            lanes=self.workers.threads,
        )
        return BatchOwner("search", search, self.workers, limits, stage="search", observer=self._observer)


def search_together(collection: Collection, lookups: Sequence[Lookup]) -> list[list[Hit]]:
    """The hits of each lookup; those that ask alike are one search of many queries."""
    hits: list[list[Hit]] = [[] for _ in lookups]
    together: dict[tuple[Modality, str], list[int]] = {}
    for number, lookup in enumerate(lookups):
        if lookup.unique is not None:
            query = lookup.embedding[None]
            hits[number] = search_unique(collection, query, lookup.target, lookup.options, lookup.unique)
        else:
            together.setdefault((lookup.target, repr(lookup.options)), []).append(number)
    for (target, _), numbers in together.items():
        queries = np.stack([lookups[number].embedding for number in numbers])
        found = collection.search(queries, target, lookups[numbers[0]].options)
        for number, own in zip(numbers, found, strict=True):
            hits[number] = own
    return hits


def check_answers(collection: Collection) -> None:
    """Search with some items of the gallery themselves; raises ArtifactCorrupt where one does not score 1 with itself.

    The first search also brings into memory what every search reads.
    """
    for modality in Modality:
        for item, _ in zip(collection.items(modality), range(_TRIED), strict=False):
            query = collection.embedding(item.id)[None]
            (hits,) = collection.search(query, modality, SearchOptions(limit=1))
            if not hits or abs(hits[0].score - 1) > _NOISE:
                score = f"{hits[0].score:.4f}" if hits else "no score"
                raise ArtifactCorrupt(
                    f"version {collection.version} of the index finds its item {item.id!r:.80} with {score}, not with "
                    "1; rebuild the index"
                )
