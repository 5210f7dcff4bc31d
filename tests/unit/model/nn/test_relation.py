"""Correlations, connections and graph layers against the golden tensors and against obvious loops."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.nn import relation as relation_module
from model.nn.relation import (
    FragmentScores,
    GraphEnhancement,
    Relevance,
    connections,
    fragment_scores,
    intra_modal_correlation,
    join_blocks,
    relevance_divergence,
)
from tests.golden import TOLERANCE, load_golden


def golden_scores() -> tuple[dict[str, Tensor], FragmentScores, FragmentScores]:
    arrays = load_golden("relation")
    regions, words = arrays["regions"], arrays["words"]
    word_mask = torch.arange(words.shape[1]) < arrays["word_count"][:, None]
    i2t, t2i = fragment_scores(regions, torch.ones(regions.shape[:2], dtype=torch.bool), words, word_mask)
    return arrays, i2t, t2i


def relevance_from(arrays: dict[str, Tensor], direction: str) -> Relevance:
    relevance = Relevance(top=10)
    first, last = relevance.mlp[0], relevance.mlp[2]
    names = {"0": first, "3": last}
    for number, layer in names.items():
        layer.weight = torch.nn.Parameter(arrays[f"mlp_mlp_{direction}_{number}_weight"])
        layer.bias = torch.nn.Parameter(arrays[f"mlp_mlp_{direction}_{number}_bias"])
    return relevance


def slow_scores(regions: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """Fragment scores (of regions, of words) of one image [R, D] and one caption [T, D] without padding, by loops."""
    similarity = torch.zeros(len(regions), len(words))
    for r, region in enumerate(regions):
        for t, word in enumerate(words):
            cosine = float(F.cosine_similarity(region, word, dim=0))
            similarity[r, t] = cosine if cosine > 0 else 0.1 * cosine
    of_words = torch.stack([max_of(row / row.norm() for row in similarity)]).squeeze(0)
    of_regions = torch.stack([max_of(column / column.norm() for column in similarity.T)]).squeeze(0)
    return of_regions, of_words


def max_of(vectors: object) -> Tensor:
    return torch.stack(list(vectors)).amax(dim=0)  # type: ignore[call-overload]


def test_intra_modal_correlations_are_golden() -> None:
    arrays = load_golden("relation")
    images, texts = arrays["image_embedding"], arrays["text_embedding"]
    torch.testing.assert_close(intra_modal_correlation(images, images), arrays["i2i"], **TOLERANCE)
    torch.testing.assert_close(intra_modal_correlation(texts, texts), arrays["t2t"], **TOLERANCE)


def test_inter_modal_means_and_relevance_are_golden() -> None:
    arrays, i2t, t2i = golden_scores()
    torch.testing.assert_close(i2t.mean, arrays["i2t_mean"], **TOLERANCE)
    torch.testing.assert_close(t2i.mean, arrays["t2i_mean"], **TOLERANCE)
    torch.testing.assert_close(relevance_from(arrays, "i2t")(i2t), arrays["i2t_relevance"], **TOLERANCE)
    torch.testing.assert_close(relevance_from(arrays, "t2i")(t2i), arrays["t2i_relevance"], **TOLERANCE)


def test_connections_are_golden() -> None:
    arrays = load_golden("relation")
    for block, source in (("i2i", "i2i"), ("t2t", "t2t"), ("i2t", "i2t_mean"), ("t2i", "t2i_mean")):
        assert torch.equal(connections(arrays[source]), arrays[f"connect_{block}"]), block


def test_divergence_is_golden() -> None:
    arrays = load_golden("relation")
    correlation = intra_modal_correlation(arrays["image_embedding"], arrays["text_embedding"])
    loss = relevance_divergence(arrays["i2t_relevance"], arrays["t2i_relevance"], correlation)
    torch.testing.assert_close(loss, arrays["kl"], atol=1e-7, rtol=1e-4)


def test_graph_enhancement_is_golden() -> None:
    arrays = load_golden("graph")
    graph = GraphEnhancement(32, int(arrays["heads"]), convolution=True, mask_weight=float(arrays["mask_weight"]))
    state = {}
    for name in graph.state_dict():
        part, _, rest = name.partition(".")
        key = f"layer_{rest.replace('.', '_')}" if part == "attention" else f"gcn_{part.removesuffix('_graph')}_{rest}"
        state[name] = arrays[key]
    graph.load_state_dict(state)
    graph.eval()
    images, texts, relation = arrays["image_embedding"], arrays["text_embedding"], arrays["relation"]
    torch.testing.assert_close(graph.convolve(images, texts, relation), arrays["before_attention"], **TOLERANCE)
    enhanced = torch.cat(graph(images, texts, relation, arrays["connected"]))
    torch.testing.assert_close(enhanced, arrays["enhanced"], **TOLERANCE)


def test_scores_equal_loops_and_padding_is_irrelevant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relation_module, "CHUNK_ELEMENTS", 1)  # one image per chunk
    torch.manual_seed(0)
    regions, words = torch.randn(3, 7, 8), torch.randn(4, 6, 8)
    region_count, word_count = torch.tensor([7, 3, 1]), torch.tensor([6, 1, 4, 2])
    region_mask = torch.arange(7) < region_count[:, None]
    word_mask = torch.arange(6) < word_count[:, None]
    i2t, t2i = fragment_scores(regions, region_mask, words, word_mask, top=5)
    for image in range(3):
        for caption in range(4):
            of_regions, of_words = slow_scores(
                regions[image, : region_count[image]], words[caption, : word_count[caption]]
            )
            torch.testing.assert_close(i2t.mean[image, caption], of_regions.mean(), **TOLERANCE)
            torch.testing.assert_close(t2i.mean[caption, image], of_words.mean(), **TOLERANCE)
            best = of_words.sort(descending=True).values[:5]
            torch.testing.assert_close(t2i.best[caption, image, : len(best)], best, **TOLERANCE)
            assert not t2i.best[caption, image, len(best) :].any()


def test_one_chunk_equals_many(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    inputs = (torch.randn(5, 4, 8), torch.ones(5, 4, dtype=torch.bool), torch.randn(6, 3, 8), torch.rand(6, 3) > 0.2)
    inputs[3][:, 0] = True
    whole = fragment_scores(*inputs)
    monkeypatch.setattr(relation_module, "CHUNK_ELEMENTS", 150)
    for one, many in zip(whole, fragment_scores(*inputs), strict=True):
        torch.testing.assert_close(one.mean, many.mean)
        torch.testing.assert_close(one.best, many.best)


def test_connections_keep_the_floor_of_the_fraction_and_at_least_one() -> None:
    torch.manual_seed(2)
    assert connections(torch.rand(4, 7)).sum(dim=1).tolist() == [3] * 4
    assert connections(torch.rand(2, 1)).sum(dim=1).tolist() == [1, 1]


def test_the_divergence_reaches_the_relevance_and_not_the_embeddings() -> None:
    torch.manual_seed(3)
    embedding = F.normalize(torch.randn(4, 8), dim=-1).requires_grad_()
    relevance = torch.rand(4, 4, requires_grad=True)
    correlation = intra_modal_correlation(embedding, embedding.detach())
    relevance_divergence(relevance, relevance.T, correlation).backward()
    assert relevance.grad is not None
    assert relevance.grad.abs().sum() > 0
    assert embedding.grad is None


def test_blocks_are_joined_by_modality() -> None:
    joined = join_blocks(
        torch.full((1, 1), 1.0), torch.full((1, 2), 2.0), torch.full((2, 1), 3.0), torch.full((2, 2), 4.0)
    )
    assert joined.tolist() == [[1.0, 2.0, 2.0], [3.0, 4.0, 4.0], [3.0, 4.0, 4.0]]
