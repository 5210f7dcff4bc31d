"""The threads that do all slow work, so that the event loop never blocks."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from service.obs.timing import Stopwatch

T = TypeVar("T")


class WorkerPool:
    """A fixed number of threads; while all are busy, work waits in order of arrival."""

    def __init__(self, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="worker")

    async def run(self, work: Callable[[], T], watch: Stopwatch) -> T:
        """Run `work` in a thread and return its result; the wait for a free thread is the part "queue" of the watch."""
        submitted = time.perf_counter()

        def started() -> T:
            watch.add("queue", time.perf_counter() - submitted)
            return work()

        # With the context of the request, so that what the thread logs carries its id.
        return await asyncio.get_running_loop().run_in_executor(self._executor, copy_context().run, started)

    def close(self) -> None:
        """Finish the work that has started, drop the rest."""
        self._executor.shutdown(cancel_futures=True)
