"""Correlations, connections and graph layers against the golden tensors and against obvious loops."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.golden import TOLERANCE, load_golden
from training import relation as relation_module
from training.relation import (
    FragmentScores,
    GraphEnhancement,
    Relevance,
    connections,
    fragment_scores,
    intra_modal_correlation,
    join_blocks,
    relevance_divergence,
)


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
    monkeypatch.setattr(relation_module, "TILE_BYTES", 1)  # one image per tile
    monkeypatch.setattr(relation_module, "CAPTIONS_PER_TILE", 3)
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


def test_bare_cosines_equal_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relation_module, "CAPTIONS_PER_TILE", 2)
    torch.manual_seed(4)
    regions, region_mask, words, word_mask = random_batch(3, 5, 4, 6)
    i2t, t2i = fragment_scores(regions, region_mask, words, word_mask, top=3, normalise=False)
    for image in range(3):
        for caption in range(4):
            own, said = regions[image, region_mask[image]], words[caption, word_mask[caption]]
            cosines = F.cosine_similarity(own[:, None], said[None], dim=-1)  # [R, T]
            torch.testing.assert_close(i2t.mean[image, caption], cosines.amax(dim=1).mean(), **TOLERANCE)
            torch.testing.assert_close(t2i.mean[caption, image], cosines.amax(dim=0).mean(), **TOLERANCE)
            best = cosines.amax(dim=0).sort(descending=True).values[:3]
            torch.testing.assert_close(t2i.best[caption, image, : len(best)], best, **TOLERANCE)


def random_batch(images: int, cells: int, captions: int, tokens: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Regions, their mask, words and their mask, with holes at random places in both masks."""
    region_mask, word_mask = torch.rand(images, cells) > 0.2, torch.rand(captions, tokens) > 0.4
    region_mask[:, 0] = word_mask[:, 0] = True
    return torch.randn(images, cells, 8), region_mask, torch.randn(captions, tokens, 8), word_mask


@pytest.mark.parametrize(("tile_bytes", "captions"), [(1, 1), (600, 2), (600, 100)])
def test_one_tile_equals_many(monkeypatch: pytest.MonkeyPatch, tile_bytes: int, captions: int) -> None:
    torch.manual_seed(1)
    batch = random_batch(5, 4, 6, 3)
    whole = fragment_scores(*batch)
    monkeypatch.setattr(relation_module, "TILE_BYTES", tile_bytes)
    monkeypatch.setattr(relation_module, "CAPTIONS_PER_TILE", captions)
    for one, many in zip(whole, fragment_scores(*batch), strict=True):
        torch.testing.assert_close(one.mean, many.mean)
        torch.testing.assert_close(one.best, many.best)


def test_what_stands_at_padding_is_irrelevant() -> None:
    torch.manual_seed(5)
    regions, region_mask, words, word_mask = random_batch(4, 5, 3, 6)
    clean = fragment_scores(regions, region_mask, words, word_mask)
    regions[~region_mask], words[~word_mask] = float("nan"), float("inf")
    for expected, found in zip(clean, fragment_scores(regions, region_mask, words, word_mask), strict=True):
        assert torch.equal(expected.mean, found.mean)
        assert torch.equal(expected.best, found.best)


def test_scores_stay_in_single_precision_under_autocast() -> None:
    torch.manual_seed(6)
    batch = random_batch(3, 4, 2, 5)
    expected = fragment_scores(*batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = fragment_scores(*batch)
    for one, other in zip(expected, found, strict=True):
        assert other.mean.dtype == torch.float32
        assert torch.equal(one.mean, other.mean)


class Largest(TorchDispatchMode):
    """Notes the bytes of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return result


def test_no_tensor_is_larger_than_a_tile() -> None:
    images, cells, captions, tokens = 128, 36, 256, 32
    batch = random_batch(images, cells, captions, tokens)
    with Largest() as largest:
        fragment_scores(*batch)
    assert images * cells * captions * tokens * 4 > 16 * relation_module.TILE_BYTES
    assert relation_module.TILE_BYTES / 2 < largest.bytes <= relation_module.TILE_BYTES


def test_scores_of_a_tile_are_bounded_by_bytes_or_by_one_image_with_one_group() -> None:
    mask = torch.ones(200, 36, dtype=torch.bool)
    for columns in (1, 320, 32 * 32, 10**6):
        tiles = list(relation_module._tiles(mask, columns, relation_module.TILE_BYTES))
        assert [row for tile in tiles for row in range(200)[tile]] == list(range(200))
        height = len(range(200)[tiles[0]])
        assert height == 1 or height * 36 * columns * 4 <= relation_module.TILE_BYTES


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
