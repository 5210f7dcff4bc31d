"""The image side: cells of a grid or detector regions to the common space (DESIGN 4.1, step 1)."""

import torch
from torch import Tensor, nn

from model.config import FeatureDimensions, ModelConfig
from model.nn.encoder import FragmentEncoder


class CellReduction(nn.Module):
    """A frozen PCA of the cells, (x - mean) basis, kept with the checkpoint so that serving does the same."""

    mean: Tensor
    basis: Tensor

    def __init__(self, dimension: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("basis", torch.zeros(dimension, components))

    def forward(self, cells: Tensor) -> Tensor:
        """[B, R, Dx] to [B, R, components]."""
        return (cells - self.mean) @ self.basis


class ImageProjection(nn.Module):
    """V = Linear(X) + MLP(X); the MLP has one hidden layer of D / 2, batch norm over the valid cells and ReLU."""

    def __init__(self, local_dimension: int, dimension: int) -> None:
        super().__init__()
        self.linear = nn.Linear(local_dimension, dimension)
        self.hidden = nn.Linear(local_dimension, dimension // 2)
        self.norm = nn.BatchNorm1d(dimension // 2)
        self.output = nn.Linear(dimension // 2, dimension)

    def forward(self, cells: Tensor, mask: Tensor) -> Tensor:
        """cells [B, R, Dx], mask [B, R], gives [B, R, D]; padding never enters the statistics."""
        hidden = self.hidden(cells)
        if self.training:
            normalised = torch.zeros_like(hidden)
            normalised[mask] = self.norm(hidden[mask])
        else:
            normalised = self.norm(hidden.flatten(end_dim=1)).view_as(hidden)
        projected: Tensor = self.linear(cells) + self.output(torch.relu(normalised))
        return projected


class ImageEncoder(FragmentEncoder):
    """Local features (reduced, where the config says so) and global features of images to an Encoding."""

    def __init__(self, config: ModelConfig, dimensions: FeatureDimensions) -> None:
        width = config.cell_components or dimensions.local_dimension
        super().__init__(config, ImageProjection(width, config.dimension), dimensions)
