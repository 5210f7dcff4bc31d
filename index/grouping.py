"""Connected components of pairs of rows: union-find over arrays, with the best score of each row."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from index.items import Rows

Scores = NDArray[np.float32]


class Groups:
    """Rows 0 … N - 1, each in a group of its own until pairs are joined.

    `scores` [N]: of each row the highest score of a pair that it was joined by, -inf where there is none.
    """

    def __init__(self, rows: int) -> None:
        self._parents = np.arange(rows)
        self.scores = np.full(rows, -np.inf, np.float32)

    def join(self, one: Rows, other: Rows, scores: Scores) -> None:
        """Put the rows of each of n pairs into one group; pairs of a row with itself change nothing."""
        apart = one != other
        one, other, scores = one[apart], other[apart], scores[apart]
        np.maximum.at(self.scores, one, scores)
        np.maximum.at(self.scores, other, scores)
        one, other = self._roots(one), self._roots(other)
        while len(one):
            # One pair of each root on either side: most of the many pairs among rows that are alike are settled then.
            first = [np.unique(roots, return_index=True)[1] for roots in (one, other)]
            chosen = np.unique(np.concatenate(first))
            for left, right in zip(one[chosen].tolist(), other[chosen].tolist(), strict=True):
                self._unite(left, right)
            one, other = self._roots(one), self._roots(other)
            apart = one != other
            one, other = one[apart], other[apart]

    def members(self) -> Iterator[Rows]:
        """The rows of each group of at least two, rising."""
        roots = self._roots(np.arange(len(self._parents)))
        order = np.argsort(roots, kind="stable")
        starts = np.flatnonzero(np.diff(roots[order], prepend=-1))
        for rows in np.split(order, starts[1:]):
            if len(rows) > 1:
                yield rows

    def _unite(self, one: int, other: int) -> None:
        left, right = self._root(one), self._root(other)
        self._parents[max(left, right)] = min(left, right)

    def _root(self, row: int) -> int:
        while (above := int(self._parents[row])) != row:
            self._parents[row] = self._parents[above]
            row = above
        return row

    def _roots(self, rows: Rows) -> Rows:
        roots = self._parents[rows]
        while not np.array_equal(above := self._parents[roots], roots):
            roots = above
        self._parents[rows] = roots  # Shortens the way for the next who asks.
        return roots
