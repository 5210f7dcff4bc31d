"""Hubs: items that are near to whatever is asked, and what ranking loses when they are not held back.

The soft maximum of an item's cosines with a bank of queries says how much of a hub it is; that much less it counts in a
ranking. After the inverted softmax of Smith et al. (ICLR 2017) and QB-Norm of Bogolin et al. (CVPR 2022), as one
number an item that is known before any query comes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.int64]

TEMPERATURE = 0.05
# Of the hubness, what is taken off the cosine in a ranking.
WEIGHT = 0.5
# So many queries say enough, and too few say nothing of those that will come.
BANK = 1000
LEAST_BANK = 100
_BLOCK = 4096


def hubness(items: Floats, bank: Floats, item_codes: Codes | None = None, bank_codes: Codes | None = None) -> Floats:
    """T log of the mean over the bank of exp(cosine / T), of each item [N]: between its mean and highest cosine.

    `items` [N, D] and `bank` [B, D], B ≥ 1, are L2-normalised, the bank of what will be searched with; no query that
    something is measured by may be in it. An item is not compared with what has its own code: to be found by one's own
    caption makes no hub.
    """
    found = np.empty(len(items), np.float32)
    for start in range(0, len(items), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosines = items[block] @ bank.T  # [n, B]
        if item_codes is not None and bank_codes is not None:
            cosines[item_codes[block, None] == bank_codes[None]] = -1.0
        highest = cosines.max(axis=1, keepdims=True)
        found[block] = highest[:, 0] + TEMPERATURE * np.log(np.exp((cosines - highest) / TEMPERATURE).mean(axis=1))
    return found


def spread(rows: int, most: int = BANK) -> NDArray[Any]:
    """At most `most` of so many rows, at even distances."""
    return np.arange(0, rows, max(1, -(-rows // most)))
