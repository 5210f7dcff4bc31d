"""Which of the small segments that additions come in are written again together."""

from collections.abc import Sequence

# A segment of additions with more rows is never written again, but by `compact`.
DELTA_ROWS = 10_000
_TINY_ROWS = 256
_GROWTH = 4


def joined(segments: Sequence[tuple[int, int]], added: int) -> list[int]:
    """Which earlier segments of additions, given as number and rows, the new one of `added` rows is written with.

    Few are to be searched, and a row is to be written again few times: a segment is joined while it is tiny, or not
    much larger than all that is newer, so that a row is written again some times for each factor of _GROWTH.
    """
    chosen = []
    for number, size in reversed(segments):
        if size < DELTA_ROWS and size < max(_TINY_ROWS, _GROWTH * added):
            chosen.append(number)
            added += size
    return chosen[::-1]
