"""A bound on the pixels that all threads of a process decode at the same time, and so on their memory."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class DecodeBudget:
    """Decodes wait, in the order in which they came, until what is being decoded leaves room for them.

    An image larger than the whole budget is decoded alone. Nobody waits for room while holding some, as the budget is
    held for one decode only, and an earlier one is never overtaken: so every wait ends.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # the threads that decode stay in the parent

    def _reset(self) -> None:
        self._in_use = 0
        self._waiting: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Hold so many pixels for the time of the block, which must not reserve any itself."""
        self._wait_for(pixels)
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= pixels
                self._changed.notify_all()

    def _wait_for(self, pixels: int) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._has_room(pixels))
                self._in_use += pixels
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()  # the next one may fit as well

    def _has_room(self, pixels: int) -> bool:
        return self._in_use == 0 or self._in_use + pixels <= self.pixels


DECODE_BUDGET = DecodeBudget(100_000_000)
"""That of this process: two of the largest images, about 400 MB as RGB, or eight of 12 megapixels."""
