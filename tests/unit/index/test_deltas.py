"""Which segments of additions are written again: few are left, and little is written."""

import pytest

from index import deltas


@pytest.mark.parametrize("added", [1, 7, 256])
def test_a_stream_of_additions_writes_each_row_again_few_times(added: int) -> None:
    sizes: list[int] = []
    written = most = 0
    for _ in range(9_000 // added):
        joined = deltas.joined(list(enumerate(sizes)), added)
        size = added + sum(sizes[number] for number in joined)
        sizes = [*(of for number, of in enumerate(sizes) if number not in joined), size]
        written, most = written + size, max(most, len(sizes))
    assert sum(sizes) == 9_000 // added * added
    assert most <= 4
    assert written < 9_000 * (128 / added + 8)  # all of them each time would be 9,000 * 4,500 / added
