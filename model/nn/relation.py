"""Neighbourhood relation learning (AAHR, section 3.4; DESIGN 4.2): correlation matrices, connections, graph layers.

Lives in training only: nothing of it is exported. Images are rows 0..N-1 of the joint graph, captions N..N+M-1.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-8
CHUNK_ELEMENTS = 4_000_000  # of the score tensor per chunk of images: keeps the passes over it in the caches


class FragmentScores(NamedTuple):
    """What the best fragments of the other side say: their mean, and the `top` largest, zero-padded."""

    mean: Tensor  # [rows, columns]
    best: Tensor  # [rows, columns, top]


def intra_modal_correlation(first: Tensor, second: Tensor, sigma: float = 1.0) -> Tensor:
    """exp(-||a - b|| / sigma) of [A, D] and [B, D], gives [A, B]."""
    return torch.exp(-torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist") / sigma)


@torch.no_grad()
def fragment_scores(
    regions: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor, top: int = 10
) -> tuple[FragmentScores, FragmentScores]:
    """Fine-grained scores of all images with all captions: (i2t [N, M], t2i [M, N]).

    regions [N, R, D], words [M, T, D] with masks of their valid cells. t2i: cosine of every word with every region,
    leaky ReLU 0.1, normalised over the valid words, maximum over the valid regions; i2t with the roles exchanged.
    One batched product per chunk of images; without gradient, as the local features are detached there.
    """
    regions = F.normalize(regions, dim=-1) * region_mask.unsqueeze(-1)
    words = F.normalize(words, dim=-1) * word_mask.unsqueeze(-1)
    flat_words = words.flatten(end_dim=1).T.contiguous()  # [D, M*T]
    chunk = max(1, CHUNK_ELEMENTS // (regions.shape[1] * flat_words.shape[1]))
    parts = [
        _chunk_scores(part, part_mask, flat_words, word_mask, top)
        for part, part_mask in zip(torch.split(regions, chunk), torch.split(region_mask, chunk), strict=True)
    ]
    i2t_mean, i2t_best, t2i_mean, t2i_best = (torch.cat(column) for column in zip(*parts, strict=True))
    return FragmentScores(i2t_mean, i2t_best), FragmentScores(t2i_mean.T, t2i_best.transpose(0, 1))


def _chunk_scores(
    regions: Tensor, region_mask: Tensor, flat_words: Tensor, word_mask: Tensor, top: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    images, cells, _ = regions.shape
    captions, tokens = word_mask.shape
    scores = F.leaky_relu_(regions.flatten(end_dim=1) @ flat_words, 0.1).view(images, cells, captions, tokens)
    squares = scores.square()
    over_words = scores / (squares.sum(dim=3, keepdim=True).sqrt_() + EPSILON)
    if not region_mask.all():
        over_words.masked_fill_(~region_mask[:, :, None, None], float("-inf"))
    word_scores = over_words.amax(dim=1)  # [n, M, T]
    over_cells = scores / (squares.sum(dim=1, keepdim=True).sqrt_() + EPSILON)
    over_cells.masked_fill_(~word_mask[None, None], float("-inf"))
    cell_scores = over_cells.amax(dim=3).transpose(1, 2)  # [n, M, R]
    i2t_mean, i2t_best = _summarise(cell_scores, region_mask.unsqueeze(1), top)
    t2i_mean, t2i_best = _summarise(word_scores, word_mask.unsqueeze(0), top)
    return i2t_mean, i2t_best, t2i_mean, t2i_best


def _summarise(scores: Tensor, mask: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Mean over the valid fragments and the `top` largest of them: scores [n, M, F] gives [n, M] and [n, M, top]."""
    count = mask.sum(dim=-1).clamp(min=1)
    mean = scores.masked_fill(~mask, 0.0).sum(dim=-1) / count
    best = scores.masked_fill(~mask, float("-inf")).topk(min(top, scores.shape[-1]), dim=-1).values
    best = best.masked_fill(best.isinf(), 0.0)
    return mean, F.pad(best, (0, top - best.shape[-1]))


def connections(relation: Tensor, fraction: float = 0.5) -> Tensor:
    """Per row, True at the largest max(1, floor(fraction * n)) of the n columns: [rows, n] gives bool [rows, n]."""
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
        """nodes [n, D], adjacency [n, n], gives [n, D]."""
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
        """images [N, D], texts [M, D], relation and connected [N + M, N + M], gives both enhanced, L2-normalised."""
        nodes = self.convolve(images, texts, relation)
        mask = (self.mask_weight * relation).masked_fill(~connected, float("-inf"))
        enhanced = F.normalize(self.attention(nodes.unsqueeze(0), src_mask=mask).squeeze(0), dim=-1)
        return enhanced[: images.shape[0]], enhanced[images.shape[0] :]
