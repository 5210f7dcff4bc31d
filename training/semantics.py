"""What is fitted on the training descriptions, once, before the first step: projection, missing one, centroids."""

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import ConfigError
from model.nn.aahr import AAHR
from training.data.pca import principal_directions
from training.data.semantics import MISSING, SemanticTable
from training.prototypes import SemanticPrototypes

KMEANS_ITERATIONS = 30

Floats = NDArray[np.float32]


def fit_semantics(network: AAHR, table: SemanticTable) -> None:
    """Fit the PCA, where the widths differ, and the mean description of a network that fuses semantics.

    Both modalities share the one PCA of descriptions and captions together.
    """
    fusion = network.semantics
    if fusion is None:
        return
    if fusion.projection.reduces:
        vectors = np.concatenate([table.descriptions, table.captions])
        mean = vectors.mean(axis=0)
        basis = principal_directions(np.cov(vectors, rowvar=False).astype(np.float64))
        width = min(basis.shape[1], fusion.projection.basis.shape[1])
        fusion.projection.mean.copy_(torch.from_numpy(mean))
        fusion.projection.basis.zero_()
        fusion.projection.basis[:, :width] = torch.from_numpy(basis[:, :width].astype(np.float32))
    placed = table.placed(fusion)
    fusion.missing.copy_(torch.from_numpy(descriptions_of_images(placed).mean(axis=0)))


def fit_semantic_prototypes(prototypes: SemanticPrototypes | None, placed: SemanticTable, seed: int) -> None:
    """Set the prototypes to k-means centroids of the training descriptions; raises ConfigError for too many."""
    if prototypes is None:
        return
    vectors, count = descriptions_of_images(placed), len(prototypes.directions)
    if count > len(vectors):
        raise ConfigError(
            f"objective.semantic_prototypes.count = {count} are more centroids than the {len(vectors)} training "
            f"descriptions: choose about {max(2, len(vectors) // 40)}"
        )
    prototypes.set(torch.from_numpy(centroids(vectors, count, seed)))


def centroids(vectors: Floats, count: int, seed: int) -> Floats:
    """Centroids [K, D] of normalised vectors [n, D] by spherical k-means; equal seeds give equal ones."""
    kmeans = faiss.Kmeans(
        vectors.shape[1], count, niter=KMEANS_ITERATIONS, spherical=True, seed=seed, min_points_per_centroid=1
    )
    kmeans.train(vectors)
    found: Floats = kmeans.centroids
    return found


def descriptions_of_images(table: SemanticTable) -> Floats:
    """One description for each image that has one, [n, D]."""
    vectors: Floats = table.descriptions[table.of_image[table.of_image != MISSING]]
    return vectors
