"""The threads in which everything that takes time is done, so that the event loop never waits for it."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.timing import Stopwatch

T = TypeVar("T")


class WorkerPool:
    """A fixed number of threads; what comes when all are busy waits in order of arrival."""

    def __init__(self, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="worker")

    async def run(self, work: Callable[[], T], watch: Stopwatch) -> T:
        """The result of `work`, done by a thread; the wait for a free one is the part "queue" of the watch."""
        submitted = time.perf_counter()

        def started() -> T:
            watch.add("queue", time.perf_counter() - submitted)
            return work()

        return await asyncio.get_running_loop().run_in_executor(self._executor, started)

    def close(self) -> None:
        """Finish what was begun, drop what was not."""
        self._executor.shutdown(cancel_futures=True)
