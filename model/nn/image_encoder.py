"""The image side: cells of a grid or detector regions to the common space (DESIGN 4.1, step 1)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from model.config import FeatureDimensions, ModelConfig
from model.nn.encoder import FragmentEncoder
from model.nn.features import LocalFeatures


class CellReduction(nn.Module):
    """Fewer and narrower cells: averages over a coarser grid, then a frozen PCA, (x - mean) basis.

    Kept with the checkpoint, so that serving does what the cached features of training went through.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, dimension: int, components: int, grid: int | None = None) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("basis", torch.zeros(dimension, components))

    def forward(self, cells: Tensor) -> Tensor:
        """[B, R, Dx] to [B, R or grid^2, components]; R is the square of a whole number where there is a grid."""
        if self.grid is not None:
            cells = grid_average(math.isqrt(cells.shape[1]), self.grid).to(cells) @ cells
        return (cells - self.mean) @ self.basis

    def reduce(self, item: LocalFeatures) -> LocalFeatures:
        """The same item with its cells reduced; a grid has no padding, so that every coarse cell is valid."""
        cells = self(item.features)
        mask = item.mask if self.grid is None else torch.ones_like(cells[..., 0], dtype=torch.bool)
        return item._replace(features=cells, mask=mask)


def grid_average(side: int, coarse: int) -> Tensor:
    """The matrix [coarse^2, side^2] that averages a square grid over windows as `adaptive_avg_pool2d` lays them.

    A product with a constant, because ONNX has no operator for windows that do not divide the grid.
    """
    line = torch.zeros(coarse, side)
    for cell in range(coarse):
        start, end = cell * side // coarse, -((cell + 1) * side // -coarse)
        line[cell, start:end] = 1 / (end - start)
    return torch.kron(line, line)


class JointBatchNorm(nn.BatchNorm1d):
    """Batch norm whose statistics in training may be those of several processes.

    Attributes:
        joint_sum: adds up a tensor over the processes, with gradient; None where there is one process alone.
    """

    joint_sum: Callable[[Tensor], Tensor] | None = None

    def forward(self, values: Tensor) -> Tensor:
        """[n, C] to the same; n may differ between processes."""
        if not self.training or self.joint_sum is None:
            return super().forward(values)
        summed = self.joint_sum(torch.cat([values.sum(dim=0), values.new_full((1,), len(values))]))  # [C + 1]
        count = summed[-1].detach()
        mean = summed[:-1] / count
        centred = values - mean
        variance = self.joint_sum(centred.square().sum(dim=0)) / count
        self._track(mean.detach(), variance.detach(), count)
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics as torch does, which takes the unbiased variance there."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        self.num_batches_tracked.add_(1)


class ImageProjection(nn.Module):
    """V = Linear(X) + MLP(X); the MLP has one hidden layer of D / 2, batch norm over the valid cells and ReLU.

    With `cells`, their number in a grid, a learned embedding of each one's place is added: without it the fragment
    relation sees a set, and "left of" has no meaning.
    """

    def __init__(self, local_dimension: int, dimension: int, cells: int | None = None) -> None:
        super().__init__()
        self.positions = None if cells is None else nn.Parameter(torch.zeros(cells, dimension))
        self.linear = nn.Linear(local_dimension, dimension)
        self.hidden = nn.Linear(local_dimension, dimension // 2)
        # The norm takes this bias out again: its gradient is rounding alone, which AdamW would blow up to whole steps.
        self.hidden.bias.requires_grad_(False)
        self.norm = JointBatchNorm(dimension // 2)
        self.output = nn.Linear(dimension // 2, dimension)

    def forward(self, cells: Tensor, mask: Tensor) -> Tensor:
        """cells [B, R, Dx], mask [B, R], returns [B, R, D]; padding never enters the statistics."""
        hidden = self.hidden(cells)
        if self.training:
            normalised = torch.zeros_like(hidden)
            valid = hidden[mask].to(self.norm.weight.dtype)  # statistics in fp32, also where the products are in bf16
            normalised[mask] = self.norm(valid).to(hidden.dtype)
        else:
            normalised = self.norm(hidden.flatten(end_dim=1)).view_as(hidden)
        projected: Tensor = self.linear(cells) + self.output(torch.relu(normalised))
        return projected if self.positions is None else projected + self.positions


class ImageEncoder(FragmentEncoder):
    """Local features (reduced, where the config says so) and global features of images to an Encoding."""

    def __init__(self, config: ModelConfig, dimensions: FeatureDimensions) -> None:
        width = config.cell_components or dimensions.local_dimension
        cells = config.cell_grid**2 if config.cell_positions and config.cell_grid else None
        super().__init__(config, ImageProjection(width, config.dimension, cells), dimensions, config.image_dropout)
