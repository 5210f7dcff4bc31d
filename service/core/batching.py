"""Dynamic batching: what comes in while an owner is busy is worked on together.

An owner lives on the event loop and hands batches to the workers. Where nothing is being worked on, an item goes at
once; otherwise it waits until a batch is full, a batch ends, or `max_wait_s` has passed.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from service.core.budget import Workers
from service.core.errors import OverloadedError
from service.obs.observers import Owner, QueueObserver, Stage
from service.obs.timing import Stopwatch

Item = TypeVar("Item")
Result = TypeVar("Result")

# Of the time that a batch takes, how much the newest one counts in the estimate of when to come again.
_NEWEST = 0.2


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """`lanes` batches of at most `max_batch` items run at a time; at most `max_queue` items wait, `max_wait_s` each."""

    max_batch: int = 16
    max_wait_s: float = 0.002
    max_queue: int = 256
    lanes: int = 1


@dataclass(slots=True, eq=False)
class _Entry(Generic[Item, Result]):
    item: Item
    watch: Stopwatch
    answer: "asyncio.Future[Result]"
    since: float = field(default_factory=time.perf_counter)


class BatchOwner(Generic[Item, Result]):
    """Works on items of one kind, many at a time.

    `work` takes some items and returns as many results, in their order; it runs in a worker. Where it fails on several
    items, each is tried alone, so that a bad one harms no other. `size_of` says which items go well together: a batch
    holds the item that has waited longest, and those of the sizes next to its own.
    """

    def __init__(
        self,
        name: Owner,
        work: Callable[[Sequence[Item]], Sequence[Result]],
        workers: Workers,
        limits: BatchLimits,
        *,
        stage: Stage,
        size_of: Callable[[Item], int] | None = None,
        observer: QueueObserver | None = None,
    ) -> None:
        """`stage` is what the time of the work is called in a stopwatch."""
        self._name = name
        self._work = work
        self._workers = workers
        self._limits = limits
        self._stage = stage
        self._size_of = size_of
        self._observer = observer
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None
        self._batch_s = 0.0

    async def submit(self, item: Item, watch: Stopwatch) -> Result:
        """The result of an item; raises what the work raises for it, and OverloadedError where too many wait.

        An item whose caller is cancelled while it waits is not worked on.
        """
        if len(self._waiting) >= self._limits.max_queue:
            if self._observer is not None:
                self._observer.count_rejection(self._name)
            raise OverloadedError(
                f"{len(self._waiting)} {self._name} items are waiting already; try again later", self._clears_in_s()
            )
        entry = _Entry[Item, Result](item, watch, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        self._count_waiting()
        self._wake_soon()
        return await entry.answer

    async def drain(self) -> None:
        """Wait until nothing is being worked on."""
        while self._running:
            await asyncio.wait(self._running)

    def _count_waiting(self) -> None:
        if self._observer is not None:
            self._observer.set_queue_length(self._name, len(self._waiting))

    def _clears_in_s(self) -> float:
        rounds = math.ceil(len(self._waiting) / (self._limits.max_batch * self._limits.lanes))
        return max(1.0, rounds * self._batch_s)

    def _wake_soon(self) -> None:
        """Look at what waits in the next turn of the loop, in which all that has arrived by then is seen."""
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._woken = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting and len(self._running) < self._limits.lanes:
            if (wait_s := self._may_wait_s()) > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._wake_soon)
                return
            if batch := self._next_batch():
                task = asyncio.get_running_loop().create_task(self._run(batch))
                self._running.add(task)
                task.add_done_callback(self._ended)

    def _may_wait_s(self) -> float:
        """How long a batch that is not full may still wait for more items: not at all where nothing runs."""
        if not self._running or len(self._waiting) >= self._limits.max_batch:
            return 0.0
        return self._waiting[0].since + self._limits.max_wait_s - time.perf_counter()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if self._waiting:
            self._wake_soon()

    def _next_batch(self) -> list[_Entry[Item, Result]]:
        """The longest waiting item with those of about its size; items whose callers are gone are dropped."""
        wanted = [entry for entry in self._waiting if not entry.answer.done()]
        if self._size_of is not None and len(wanted) > self._limits.max_batch:
            first = self._size_of(wanted[0].item)
            size_of = self._size_of
            wanted.sort(key=lambda entry: abs(size_of(entry.item) - first))
        batch = wanted[: self._limits.max_batch]
        taken = set(map(id, batch))
        self._waiting = deque(e for e in self._waiting if id(e) not in taken and not e.answer.done())
        self._count_waiting()
        return batch

    async def _run(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        if self._observer is not None:
            self._observer.observe_batch(self._name, len(batch))
        try:
            started, results = await self._workers.run(lambda: self._timed([entry.item for entry in batch]))
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
            else:
                await self._one_by_one(batch)
            return
        finished = time.perf_counter()
        self._batch_s += _NEWEST * (finished - batch[0].since - self._batch_s)
        for entry, result in zip(batch, results, strict=True):
            entry.watch.add("queue", started - entry.since)
            entry.watch.add(self._stage, finished - started)
            if not entry.answer.done():
                entry.answer.set_result(result)

    def _timed(self, items: Sequence[Item]) -> tuple[float, Sequence[Result]]:
        return time.perf_counter(), self._work(items)

    async def _one_by_one(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        for entry in batch:
            if not entry.answer.done():
                await self._run([entry])


def _fail(entry: "_Entry[Item, Result]", error: Exception) -> None:
    if not entry.answer.done():
        entry.answer.set_exception(error)
