"""Hubness: how close an item is to queries in general, which a ranking subtracts from its cosine.

The soft maximum of an item's cosines with a bank of queries. After the inverted softmax of Smith et al. (ICLR 2017) and
QB-Norm of Bogolin et al. (CVPR 2022), as one number per item that is computed before any query arrives.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.int64]

TEMPERATURE = 0.05
# The share of the hubness that a ranking subtracts; chosen on val.
WEIGHT = 0.5
# More queries change nothing on val; fewer than the least say too little about other queries.
BANK = 1000
LEAST_BANK = 100
_BLOCK = 4096


def hubness(items: Floats, bank: Floats, item_codes: Codes | None = None, bank_codes: Codes | None = None) -> Floats:
    """T log of the mean over the bank of exp(cosine / T), of each item [N]: between its mean and highest cosine.

    `items` [N, D] and `bank` [B, D], B ≥ 1, are L2-normalised; the bank must not contain evaluation queries. An item is
    not compared with bank rows of its own code: being close to its own caption does not make it a hub.
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


def spread(rows: int, most: int = BANK) -> NDArray[np.int64]:
    """At most `most` of so many rows, at even distances."""
    return np.arange(0, rows, max(1, -(-rows // most)))
