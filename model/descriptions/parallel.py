"""A function over many items in threads, with a bound on what is under way."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # items under way for each thread, so that none waits for the writer


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Generator[Result, None, None]:
    """The results as they come, in no order; raises what the function raises.

    Where the caller stops early, items that were not begun are not, and those that were are not waited for: whoever
    holds what they wait for has to end them.
    """
    waiting = iter(items)
    executor = ThreadPoolExecutor(jobs, thread_name_prefix="describe")
    try:
        running: set[Future[Result]] = {executor.submit(function, item) for item in islice(waiting, _AHEAD * jobs)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                running.update(executor.submit(function, item) for item in islice(waiting, 1))
                yield future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
