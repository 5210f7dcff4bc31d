"""Local and global features of many items, on the CPU, as batches ask for them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.nn.features import LocalFeatures

_ITEMS_AT_ONCE = 256


class FeatureTable:
    """Features of n items, each with its own number of cells or tokens.

    The values lie in pieces, usually memory-mapped files, and items may share them: equal captions are stored once.

    Attributes:
        places: piece, first value and number of values of each item, [n, 3].
        global_features: float32 [n, Dg].
    """

    def __init__(
        self, pieces: Sequence[NDArray[Any]], places: NDArray[np.int64], global_features: NDArray[np.float32]
    ) -> None:
        self._pieces = tuple(pieces)  # each [S, Dx], float16 or float32
        self.places = places
        self.global_features = global_features

    @classmethod
    def of_regions(
        cls, regions: NDArray[Any], rows: NDArray[np.int64], global_features: NDArray[np.float32]
    ) -> "FeatureTable":
        """From equally many regions per row, [rows, R, Dx], and the row of each item, [n]; nothing is copied."""
        _, count, width = regions.shape
        places = np.stack([np.zeros_like(rows), rows * count, np.full_like(rows, count)], axis=1)
        return cls([regions.reshape(-1, width)], places, global_features)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def local_dimension(self) -> int:
        return int(self._pieces[0].shape[1])

    def with_global_features(self, global_features: NDArray[np.float32]) -> "FeatureTable":
        """The same local features beside other global features [n, Dg]; nothing is copied."""
        return FeatureTable(self._pieces, self.places, global_features)

    def item(self, row: int) -> NDArray[Any]:
        """The values of one item as they are stored, [R, Dx]."""
        piece, start, length = self.places[row]
        values: NDArray[Any] = self._pieces[piece][start : start + length]
        return values

    def batch(self, rows: NDArray[np.int64]) -> LocalFeatures:
        """Float32 features [B, R, Dx] padded with zeros to the longest item, mask [B, R], globals [B, Dg]."""
        lengths = self.places[rows, 2]
        padded = np.zeros((len(rows), int(lengths.max()), self.local_dimension), self._pieces[0].dtype)
        for position, row in enumerate(rows):
            padded[position, : lengths[position]] = self.item(row)
        mask = np.arange(padded.shape[1]) < lengths[:, None]
        return LocalFeatures(
            torch.from_numpy(padded).float(), torch.from_numpy(mask), torch.from_numpy(self.global_features[rows])
        )

    def values(self, rows: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """The values of some items one after the other, float32 [S, Dx], a few hundred items at a time."""
        for start in range(0, len(rows), _ITEMS_AT_ONCE):
            items = [self.item(row) for row in rows[start : start + _ITEMS_AT_ONCE]]
            yield np.concatenate(items).astype(np.float32)


def concatenate_tables(tables: Sequence[FeatureTable]) -> FeatureTable:
    """One table after the other; values are shared, not copied."""
    first_piece = np.cumsum([0, *(len(table._pieces) for table in tables)])
    places = [table.places + np.array([start, 0, 0]) for table, start in zip(tables, first_piece, strict=False)]
    return FeatureTable(
        [piece for table in tables for piece in table._pieces],
        np.concatenate(places),
        np.concatenate([table.global_features for table in tables]),
    )
