"""One thread that owns a searcher which no two threads may use; what waits is searched together."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from index.items import Embeddings, Rows

Found = tuple[Embeddings, Rows]
MAX_BATCH = 1024  # queries


class _Request(NamedTuple):
    queries: Embeddings
    k: int
    answer: "Future[Found]"


class BatchingOwner:
    """Searches from many threads, made by one.

    A request waits only for the batch that is being searched; all that came meanwhile is the next one.
    """

    def __init__(self, search: Callable[[Embeddings, int], Found], name: str) -> None:
        self._search = search
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def search(self, queries: Embeddings, k: int) -> Found:
        """What the searcher finds for queries [Q, D]; raises what it raises, and RuntimeError once closed."""
        request = _Request(queries, k, Future())
        with self._lock:
            if self._closed:
                raise RuntimeError("this index is closed")
            self._requests.put(request)
        return request.answer.result()

    def close(self) -> None:
        """Answer what waits, then end the thread."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._requests.put(None)
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._answer(batch)

    def _next_batch(self) -> list[_Request]:
        """What waits, up to a full batch; waits for the first request; empty once closed."""
        batch: list[_Request] = []
        while sum(len(request.queries) for request in batch) < MAX_BATCH and not (batch and self._requests.empty()):
            request = self._requests.get()
            if request is None:
                self._requests.put(None)  # the last there is: the next call finds it again
                break
            batch.append(request)
        return batch

    def _answer(self, batch: list[_Request]) -> None:
        try:
            most = max(request.k for request in batch)
            scores, rows = self._search(np.concatenate([request.queries for request in batch]), most)
        except Exception as error:
            for request in batch:
                request.answer.set_exception(error)
            return
        start = 0
        for request in batch:
            part = slice(start, start := start + len(request.queries))
            request.answer.set_result((scores[part, : request.k], rows[part, : request.k]))
