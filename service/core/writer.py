"""The one writer of the process: changes that come while one is being published are published together in the next.

Each caller learns what became of its own change once the version that has it is on disk and is searched.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from index.additions import Addition, rows_of
from index.collection import Collection
from index.collection.store import Store
from index.items import Modality
from index.uploads import store_uploads
from model.errors import AahrError, ArtifactBusy, ArtifactMismatch, InvalidInput, ItemNotFound
from service.core.errors import InvalidField, NotReadyError
from service.core.generations import Generations
from service.core.items import Changed, Deleted, Outcome, Stored

# Of one version: more are published in the version after it.
_GROUP_ITEMS = 1024
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Upserts:
    """Images that are to be in the gallery, embedded by this model; of equal ids the last one counts."""

    additions: Sequence[Addition]
    embedded_by: str

    @property
    def items(self) -> int:
        """How many images."""
        return len(self.additions)


@dataclass(frozen=True, slots=True)
class Deletes:
    """Items that are no longer to be in the gallery; the captions of an image go with it."""

    ids: Sequence[str]

    @property
    def items(self) -> int:
        """How many ids."""
        return len(self.ids)


Change = Upserts | Deletes


class _Entry(NamedTuple):
    change: Change
    answer: "asyncio.Future[Changed]"


class Writer:
    """Publishes changes in the order in which they come; every method belongs to the event loop."""

    def __init__(self, generations: Generations, store: Store, *, patience_s: float = 5.0) -> None:
        """`patience_s`: how long another process that is changing the index is waited for."""
        self._generations = generations
        self._store = store
        self._patience_s = patience_s
        self._waiting: deque[_Entry] = deque()
        self._working: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, change: Change) -> Changed:
        """What became of a change, once it is published and served.

        It is worked on even if the caller is cancelled. Raises ArtifactBusy where another process keeps the index,
        StorageFull, ImagesNotWritable, and other kinds of ArtifactError where the index cannot be changed.
        """
        if self._closed:
            raise NotReadyError("the service is stopping; send the change again later")
        entry = _Entry(change, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._working is None or self._working.done():
            self._working = asyncio.get_running_loop().create_task(self._work())
        return await entry.answer

    async def close(self) -> None:
        """Finish the changes that have come; no others are taken."""
        self._closed = True
        if self._working is not None:
            await self._working

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # What has arrived by now belongs to this group as well.
            for group in self._next_groups():
                await self._publish(group)

    def _next_groups(self) -> list[list[_Entry]]:
        """The entries that are next; deletions and additions that follow each other are versions of their own."""
        taken: list[_Entry] = []
        items = 0
        while self._waiting and (not taken or items + self._waiting[0].change.items <= _GROUP_ITEMS):
            taken.append(self._waiting.popleft())
            items += taken[-1].change.items
        return [list(group) for _, group in groupby(taken, lambda entry: type(entry.change))]

    async def _publish(self, group: Sequence[_Entry]) -> None:
        """Publish a group; where it fails, each change on its own, so that one harms no other."""
        try:
            for entry, changed in zip(group, await self._changed([entry.change for entry in group]), strict=True):
                _answer(entry, changed)
        except Exception as error:
            if len(group) == 1 or isinstance(error, ArtifactBusy):
                for entry in group:
                    _answer(entry, error)
                return
            for entry in group:
                await self._publish([entry])

    async def _changed(self, changes: Sequence[Change]) -> list[Changed]:
        await self._follow()
        upserts = [change for change in changes if isinstance(change, Upserts)]
        deletes = [change for change in changes if isinstance(change, Deletes)]
        self._check_model(upserts)
        outcomes = [
            *await self._upsert([addition for change in upserts for addition in change.additions]),
            *await self._delete([item_id for change in deletes for item_id in change.ids]),
        ]
        served = self._generations.current.collection
        rest = iter(outcomes)
        return [Changed([next(rest) for _ in range(change.items)], served.name, served.version) for change in changes]

    async def _follow(self) -> None:
        """Serve what another process has published: a change of it is not undone, and its items are known here."""
        if await asyncio.to_thread(self._store.current) != self._generations.current.collection.version:
            await self._generations.reload()

    def _check_model(self, changes: Sequence[Upserts]) -> None:
        embedded_by = self._generations.current.collection.model.embedding_key
        for change in changes:
            if change.embedded_by != embedded_by:
                raise ArtifactMismatch(
                    f"the images were embedded by {change.embedded_by}, the index is of {embedded_by} now"
                )

    async def _upsert(self, additions: Sequence[Addition]) -> list[Outcome]:
        try:
            with self._generations.current as generation:
                return await self._put(additions, generation.collection)
        except InvalidInput as error:  # Of one of them, which the store names but not by its number.
            if len(additions) == 1:
                return [error]
        return [outcome for addition in additions for outcome in await self._upsert([addition])]

    async def _put(self, additions: Sequence[Addition], collection: Collection) -> list[Outcome]:
        refused, existing = await asyncio.to_thread(_looked_up, collection, additions)
        wanted = {addition.id: addition for addition in additions if addition.id not in refused}
        if wanted:
            await self._change(lambda: _put(self._store, collection, list(wanted.values())))
        outcomes: list[Outcome] = []
        for addition in additions:
            if (refusal := refused.get(addition.id)) is not None:
                outcomes.append(refusal)
                continue
            created = addition.id not in existing
            existing.add(addition.id)
            outcomes.append(Stored(addition.id, addition.uri, addition.caption_ids, created))
        return outcomes

    async def _delete(self, ids: Sequence[str]) -> list[Outcome]:
        with self._generations.current as generation:
            collection = generation.collection
            wanted = await asyncio.to_thread(_known, collection, ids)
            if wanted:
                await self._change(lambda: self._store.delete(list(wanted), base=collection))
        outcomes: list[Outcome] = []
        for item_id in ids:
            if item_id in wanted:
                outcomes.append(Deleted(item_id))
                wanted.discard(item_id)  # The second of two callers finds nothing any more.
            else:
                outcomes.append(ItemNotFound(f"no item of the index has the id {item_id!r:.80}"))
        return outcomes

    async def _change(self, change: Callable[[], object]) -> None:
        """Change the store and serve the version; another process that is changing it is waited for."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                await self._generations.change(change)
                return
            except ArtifactBusy:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE_S)


def _answer(entry: _Entry, answer: Changed | Exception) -> None:
    if entry.answer.done():  # The caller was cancelled.
        return
    if isinstance(answer, Changed):
        entry.answer.set_result(answer)
    else:
        entry.answer.set_exception(answer)


def _put(store: Store, collection: Collection, additions: Sequence[Addition]) -> None:
    """The files first: a version never names one that is not on disk."""
    store_uploads(collection.images_root, {addition.uri: addition.content for addition in additions})
    store.upsert(rows_of(additions), replace_captions=True, base=collection)


def _looked_up(collection: Collection, additions: Sequence[Addition]) -> tuple[Mapping[str, AahrError], set[str]]:
    """The ids that cannot be given to an image, each with its error, and those that an image has already."""
    refused: dict[str, AahrError] = {}
    existing: set[str] = set()
    for item_id in {addition.id for addition in additions}:
        try:
            modality = collection.item(item_id).modality
        except ItemNotFound:
            continue
        if modality is Modality.IMAGE:
            existing.add(item_id)
        else:
            message = f"the id {item_id!r:.80} is that of a caption; give the image another one"
            refused[item_id] = InvalidField(message, "id")
    return refused, existing


def _known(collection: Collection, ids: Sequence[str]) -> set[str]:
    """Those of some ids that items have."""
    known = set()
    for item_id in set(ids):
        try:
            known.add(collection.item(item_id).id)
        except ItemNotFound:
            continue
    return known
