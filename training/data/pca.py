"""Principal components of cells: 1,280 channels of a convolutional grid have far fewer effective dimensions."""

import numpy as np
from numpy.typing import NDArray

from model.errors import ConfigError
from training.data.table import FeatureTable


def fit_cell_pca(
    table: FeatureTable, components: int, *, sample: int = 1000, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean [Dx] and basis [Dx, components] of the cells of `sample` items drawn by `seed`.

    By the eigenvectors of the covariance, the largest first, each with its largest entry positive; the projection of
    x is (x - mean) basis. Raises ConfigError for more components than there are dimensions.
    """
    width = table.local_dimension
    if not 1 <= components <= width:
        raise ConfigError(f"{components} components cannot be taken from features of {width}; choose 1 to {width}")
    rows = np.random.default_rng(seed).permutation(len(table))[:sample]
    mean, covariance = _moments(table, np.sort(rows))
    return mean.astype(np.float32), principal_directions(covariance)[:, :components].astype(np.float32)


def principal_directions(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvectors of a covariance [d, d] as columns, the largest eigenvalue first, largest entries positive."""
    _, vectors = np.linalg.eigh(covariance)  # eigenvalues ascending
    basis = vectors[:, ::-1]
    largest = basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])]
    directions: NDArray[np.float64] = basis * np.sign(largest)
    return directions


def _moments(table: FeatureTable, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [Dx] and covariance [Dx, Dx] of all cells of the rows, in double precision over float32 products."""
    width = table.local_dimension
    total, products, count = np.zeros(width), np.zeros((width, width)), 0
    for values in table.values(rows):
        total += values.sum(axis=0, dtype=np.float64)
        products += values.T @ values
        count += len(values)
    mean = total / count
    return mean, products / count - np.outer(mean, mean)
