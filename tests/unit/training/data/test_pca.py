"""Principal components against NumPy's singular value decomposition."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import ConfigError
from training.data.pca import fit_cell_pca
from training.data.table import FeatureTable


def cells(items: int = 60) -> NDArray[np.float32]:
    """[items, 7, 12] with clearly different variances around a mean far from zero."""
    generator = np.random.default_rng(0)
    mixed = generator.normal(size=(items, 7, 12)) * 1.5 ** -np.arange(12) @ generator.normal(size=(12, 12))
    return np.asarray(mixed + 5, np.float32)


def table(values: NDArray[np.float32]) -> FeatureTable:
    return FeatureTable.of_regions(values, np.arange(len(values)), np.zeros((len(values), 1), np.float32))


def test_the_components_are_the_singular_vectors() -> None:
    values = cells()
    mean, basis = fit_cell_pca(table(values), 5)
    flat = values.reshape(-1, 12).astype(np.float64)
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-6)
    _, _, vectors = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)
    signs = np.sign(np.sum(vectors[:5].T * basis, axis=0))
    np.testing.assert_allclose(basis, vectors[:5].T * signs, atol=2e-3)
    assert basis.dtype == mean.dtype == np.float32


def test_signs_are_settled_and_seeds_repeat() -> None:
    values = cells()
    mean, basis = fit_cell_pca(table(values), 12, sample=20, seed=3)
    assert (basis[np.abs(basis).argmax(axis=0), np.arange(12)] > 0).all()
    np.testing.assert_allclose(basis.T @ basis, np.eye(12), atol=1e-5)
    again = fit_cell_pca(table(values), 12, sample=20, seed=3)
    np.testing.assert_array_equal(mean, again[0])
    np.testing.assert_array_equal(basis, again[1])
    assert not np.array_equal(mean, fit_cell_pca(table(values), 12, sample=20, seed=4)[0])


def test_all_components_lose_nothing() -> None:
    values = cells()
    mean, basis = fit_cell_pca(table(values), 12)
    np.testing.assert_allclose((values - mean) @ basis @ basis.T + mean, values, atol=1e-3)


@pytest.mark.parametrize("components", [0, 13])
def test_a_number_that_cannot_be_is_refused(components: int) -> None:
    with pytest.raises(
        ConfigError, match=f"{components} components cannot be taken from features of 12; choose 1 to 12"
    ):
        fit_cell_pca(table(cells()), components)
