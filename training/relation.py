"""Neighbourhood relation learning (AAHR, section 3.4; DESIGN 4.2): correlation matrices, connections, graph layers.

Lives in training only: nothing of it is exported. Images are rows 0..N-1 of the joint graph, captions N..N+M-1.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nn.features import bucket_by_length

EPSILON = 1e-8
TILE_BYTES = 8 * 2**20  # scores of one tile: the passes over them stay in the caches, the product is still a large one
CAPTIONS_PER_TILE = 32
GPU_TILE_BYTES, GPU_CAPTIONS_PER_TILE = 512 * 2**20, 1024  # there, starting another tile is what takes time


class FragmentScores(NamedTuple):
    """What the best fragments of the other side say: their mean, and the `top` largest, zero-padded."""

    mean: Tensor  # [rows, columns]
    best: Tensor  # [rows, columns, top]


def intra_modal_correlation(first: Tensor, second: Tensor, sigma: float = 1.0) -> Tensor:
    """exp(-||a - b|| / sigma) of [A, D] and [B, D], returns [A, B]."""
    return torch.exp(-torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist") / sigma)


@torch.no_grad()
def fragment_scores(
    regions: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor, top: int = 10, *, normalise: bool = True
) -> tuple[FragmentScores, FragmentScores]:
    """Fine-grained scores of all images with all captions: (i2t [N, M], t2i [M, N]).

    regions [N, R, D], words [M, T, D] with masks of their valid cells. t2i: cosine of every word with every region,
    leaky ReLU 0.1, normalised over the valid words, maximum over the valid regions; i2t with the roles exchanged.
    Without `normalise` the cosines stay as they are. In float32 also under autocast, and without gradient, as the local
    features are detached there.

    One product serves both directions. It is taken by tiles, some images with up to CAPTIONS_PER_TILE captions of
    similar length, and each tile is worked on while it lies in the caches. [N, R, M, T] never exists: two tensors of
    TILE_BYTES do, or of the scores of one image with CAPTIONS_PER_TILE captions where these are more (on a GPU the
    sizes of GPU_…).
    """
    on_cpu = regions.device.type == "cpu"
    tile_bytes, captions = (TILE_BYTES, CAPTIONS_PER_TILE) if on_cpu else (GPU_TILE_BYTES, GPU_CAPTIONS_PER_TILE)
    best_of_tile = _best_normalised if normalise else _best_cosines
    with torch.autocast(regions.device.type, enabled=False):
        regions, words = _unit_rows(regions, region_mask), _unit_rows(words, word_mask)
        of_regions = regions.new_empty(len(regions), len(words), regions.shape[1])  # [N, M, R]
        of_words = words.new_zeros(len(words), len(regions), words.shape[1])  # [M, N, T]
        for rows, longest in bucket_by_length(word_mask, captions):
            group, group_mask = words[rows, :longest].transpose(0, 1), word_mask[rows, :longest].T  # [t, m, D], [t, m]
            flat = group.flatten(end_dim=1).T  # [D, t * m]
            for images in _tiles(region_mask, flat.shape[1], tile_bytes):
                best = best_of_tile(regions[images], region_mask[images], flat, group_mask)
                of_regions[images, rows], of_words[rows, images, :longest] = best
    return _summarise(of_regions, region_mask.unsqueeze(1), top), _summarise(of_words, word_mask.unsqueeze(1), top)


def _unit_rows(features: Tensor, mask: Tensor) -> Tensor:
    """L2-normalised in float32, zero where not valid: [B, R, D] with mask [B, R]."""
    return F.normalize(features.float(), dim=-1).masked_fill_(~mask.unsqueeze(-1), 0.0)


def _tiles(region_mask: Tensor, columns: int, tile_bytes: int) -> Iterator[slice]:
    """Slices of images, so that the scores of their cells with `columns` words take up to `tile_bytes`."""
    images, cells = region_mask.shape
    step = max(1, tile_bytes // (cells * columns * torch.float32.itemsize))
    return (slice(start, start + step) for start in range(0, images, step))


def _best_normalised(regions: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Best scores of the regions of n images [n, m, R] and of the words of m captions [m, n, T].

    regions [n, R, D] with mask [n, R]; words [D, T * m] with mask [T, m]: captions are the last axis, so that every
    reduction runs over rows of memory, not within them.
    """
    scores = F.leaky_relu_(regions.flatten(end_dim=1) @ words, 0.1).view(*region_mask.shape, *word_mask.shape)
    squares = scores.square()  # [n, R, T, m]
    over_words, over_regions = _inverse_norm(squares, dim=2), _inverse_norm(squares, dim=1)
    weighted = torch.mul(scores, over_words, out=squares)
    of_words = _ignore(weighted, region_mask[:, :, None, None]).amax(dim=1)  # [n, T, m]
    of_regions = _ignore(scores.mul_(over_regions), word_mask).amax(dim=2)  # [n, R, m]
    return of_regions.transpose(1, 2), of_words.permute(2, 0, 1)


def _best_cosines(regions: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The same of the bare cosines."""
    scores = (regions.flatten(end_dim=1) @ words).view(*region_mask.shape, *word_mask.shape)
    of_words = _ignore(scores, region_mask[:, :, None, None]).amax(dim=1)  # [n, T, m]
    of_regions = _ignore(scores, word_mask).amax(dim=2)  # [n, R, m]
    return of_regions.transpose(1, 2), of_words.permute(2, 0, 1)


def _inverse_norm(squares: Tensor, dim: int) -> Tensor:
    return squares.sum(dim, keepdim=True).sqrt_().add_(EPSILON).reciprocal_()


def _ignore(scores: Tensor, mask: Tensor) -> Tensor:
    """In place -inf where not valid; most tiles have no such place (a GPU would have to be waited for to know it)."""
    return scores if mask.device.type == "cpu" and mask.all() else scores.masked_fill_(~mask, float("-inf"))


def _summarise(scores: Tensor, mask: Tensor, top: int) -> FragmentScores:
    """Mean over the valid fragments and the `top` largest of them: scores [a, b, F] returns [a, b] and [a, b, top]."""
    mean = scores.masked_fill(~mask, 0.0).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)
    best = scores.masked_fill(~mask, float("-inf")).topk(min(top, scores.shape[-1]), dim=-1).values
    best = best.masked_fill(best.isinf(), 0.0)
    return FragmentScores(mean, F.pad(best, (0, top - best.shape[-1])))


def connections(relation: Tensor, fraction: float = 0.5) -> Tensor:
    """Per row, True at the largest max(1, floor(fraction * n)) of the n columns: [rows, n] returns bool [rows, n]."""
    count = max(1, int(relation.shape[1] * fraction))
    chosen = relation.topk(count, dim=1).indices
    return torch.zeros_like(relation, dtype=torch.bool).scatter(1, chosen, True)


def join_blocks(i2i: Tensor, i2t: Tensor, t2i: Tensor, t2t: Tensor) -> Tensor:
    """[i2i i2t; t2i t2t], [N + M, N + M]."""
    return torch.cat([torch.cat([i2i, i2t], dim=1), torch.cat([t2i, t2t], dim=1)])


def relevance_divergence(i2t: Tensor, t2i: Tensor, correlation: Tensor) -> Tensor:
    """KL(softmax(i2t) || softmax(correlation)) + the same for t2i; batch means.

    i2t and correlation [N, M], t2i [M, N].
    """
    target = correlation.detach()
    return _divergence(i2t, target) + _divergence(t2i, target.T)


def _divergence(relevance: Tensor, correlation: Tensor) -> Tensor:
    return F.kl_div(
        correlation.log_softmax(dim=1), relevance.log_softmax(dim=1), reduction="batchmean", log_target=True
    )


class Relevance(nn.Module):
    """The mean of the fragment scores plus an MLP (top -> top -> 1, ReLU) over the best of them."""

    def __init__(self, top: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(top, top), nn.ReLU(), nn.Linear(top, 1))

    def forward(self, scores: FragmentScores) -> Tensor:
        """[rows, columns] of relevance."""
        correction: Tensor = self.mlp(scores.best)
        return scores.mean + correction.squeeze(-1)


class GraphConvolution(nn.Module):
    """Dropout, A (x W) + b, leaky ReLU 0.2; A is dense, neither masked nor degree-normalised."""

    def __init__(self, dimension: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dimension, dimension))
        self.bias = nn.Parameter(torch.zeros(dimension))
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        """nodes [n, D], adjacency [n, n], returns [n, D]."""
        return F.leaky_relu(adjacency @ (self.dropout(nodes) @ self.weight) + self.bias, 0.2)


class GraphEnhancement(nn.Module):
    """Embeddings of a batch, each enhanced by its neighbours: GCNs, then one graph-attention layer."""

    def __init__(self, dimension: int, heads: int, *, convolution: bool, mask_weight: float = 1.0) -> None:
        super().__init__()
        self.mask_weight = mask_weight
        self.image_graph = GraphConvolution(dimension, dropout=0.6) if convolution else None
        self.text_graph = GraphConvolution(dimension, dropout=0.6) if convolution else None
        self.joint_graph = GraphConvolution(dimension, dropout=0.6) if convolution else None
        self.attention = nn.TransformerEncoderLayer(
            dimension, heads, dim_feedforward=dimension, dropout=0.1, batch_first=True
        )

    def convolve(self, images: Tensor, texts: Tensor, relation: Tensor) -> Tensor:
        """One GCN per modality over its own block, one over the joint matrix; normalised and added to the input."""
        nodes = torch.cat([images, texts])
        if self.image_graph is None or self.text_graph is None or self.joint_graph is None:
            return nodes
        count = images.shape[0]
        spread = torch.cat(
            [
                self.image_graph(images, relation[:count, :count]),
                self.text_graph(texts, relation[count:, count:]),
            ]
        )
        return nodes + F.normalize(self.joint_graph(spread, relation), dim=-1)

    def forward(self, images: Tensor, texts: Tensor, relation: Tensor, connected: Tensor) -> tuple[Tensor, Tensor]:
        """images [N, D], texts [M, D], relation and connected [N + M, N + M], returns both enhanced, L2-normalised."""
        nodes = self.convolve(images, texts, relation)
        mask = (self.mask_weight * relation).masked_fill(~connected, float("-inf"))
        enhanced = F.normalize(self.attention(nodes.unsqueeze(0), src_mask=mask).squeeze(0), dim=-1)
        return enhanced[: images.shape[0]], enhanced[images.shape[0] :]
