"""How far scores agree with people."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau


def expert_tau_c(scores: NDArray[np.float32], judgments: NDArray[np.int64]) -> float:
    """Kendall tau-c (x 100) of scores [P] with the judgments [P, J] of J people, each judgment counted by itself."""
    repeated = np.repeat(scores, judgments.shape[1])
    return float(100.0 * kendalltau(repeated, judgments.reshape(-1), variant="c").statistic)
