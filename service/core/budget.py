"""The one budget of threads: decoding, ONNX Runtime and FAISS all work on the thread that calls them.

ONNX Runtime is given one thread an operator and FAISS one a search, so that as many threads compute as this pool has,
however many requests there are. The event loop is the only other thread that is busy.
"""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from model.cores import usable_cores
from service.obs.timing import Stopwatch

T = TypeVar("T")


class Workers:
    """A fixed number of threads, by default one a usable core; while all are busy, work waits in order of arrival."""

    def __init__(self, threads: int | None = None) -> None:
        # Of the library of tokenizers, which would otherwise start a pool of its own at the first batch.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self.threads = threads or usable_cores()
        self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="worker")

    async def run(self, work: Callable[[], T], watch: Stopwatch | None = None) -> T:
        """Run `work` in a thread and return its result; the wait for a free thread is the part "queue" of the watch."""
        submitted = time.perf_counter()

        def started() -> T:
            if watch is not None:
                watch.add("queue", time.perf_counter() - submitted)
            return work()

        # With the context of the request, so that what the thread logs carries its id.
        return await asyncio.get_running_loop().run_in_executor(self._executor, copy_context().run, started)

    def close(self) -> None:
        """Finish the work that has started, drop the rest."""
        self._executor.shutdown(cancel_futures=True)
