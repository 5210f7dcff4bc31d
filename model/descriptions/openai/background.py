"""An event loop in a thread of its own, so that threads can wait for requests that end on time, whatever a server does.

A blocking client waits anew for every byte: a server that sends one now and then holds it for ever, and a thread that
waits for a socket cannot be told to stop.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines for the threads that call it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._open = True
        self._lock = Lock()  # nothing may be submitted behind the cancellation of everything
        self._thread = Thread(target=self._loop.run_forever, name="descriptions", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result; raises what it raises, and CancelledError where the loop is closed meanwhile or before."""
        with self._lock:
            if not self._open:
                coroutine.close()
                raise CancelledError("the loop is closed")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result()

    def close(self, last: Coroutine[Any, Any, object]) -> None:
        """Cancel all that runs, run `last`, and end the thread; once."""
        with self._lock:
            self._open = False
            ending = asyncio.run_coroutine_threadsafe(_cancelled_then(last), self._loop)
        try:
            ending.result()
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


async def _cancelled_then(last: Coroutine[Any, Any, object]) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await last
