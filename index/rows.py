"""Sets of rows of one segment: which of them a search may find."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from index.items import Rows


@dataclass(frozen=True, eq=False)
class RowSet:
    """Some of N rows, as a mask [N]."""

    mask: NDArray[np.bool_]

    @cached_property
    def count(self) -> int:
        """How many rows are in the set."""
        return int(np.count_nonzero(self.mask))

    @cached_property
    def rows(self) -> Rows:
        """The rows themselves, rising [count]."""
        return np.flatnonzero(self.mask).astype(np.int64)

    @classmethod
    def without(cls, size: int, deleted: Rows) -> "RowSet | None":
        """All of `size` rows but the deleted ones; None, which stands for all rows, where nothing is deleted."""
        if not len(deleted):
            return None
        mask = np.ones(size, np.bool_)
        mask[deleted] = False
        return cls(mask)

    def intersection(self, other: "RowSet | None") -> "RowSet":
        """The rows that are in both sets."""
        return self if other is None else RowSet(self.mask & other.mask)
