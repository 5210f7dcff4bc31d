"""Matching losses against the golden tensors and against obvious loops."""

import pytest
import torch
import torch.nn.functional as F

from tests.golden import TOLERANCE, load_golden
from training.losses import (
    DistanceWeightedTriplet,
    HardNegativeTriplet,
    InfoNCE,
    MatchingLoss,
    Pairs,
    sampling_probability,
)


def random_pairs(seed: int = 0) -> Pairs:
    """4 images, 7 captions; images 0 and 3 are the same image under one id."""
    generator = torch.Generator().manual_seed(seed)
    images = F.normalize(torch.randn(4, 6, generator=generator), dim=-1)
    texts = F.normalize(torch.randn(7, 6, generator=generator), dim=-1)
    return Pairs(images, texts, torch.tensor([0, 0, 1, 2, 2, 3, 3]), torch.tensor([10, 11, 12, 10]))


def test_sampling_probability_is_golden() -> None:
    arrays = load_golden("distance_weighted_sampling")
    ids = arrays["image_ids"]
    found = sampling_probability(
        arrays["similarity"],
        ids[:, None] != ids[None, :],
        cut_off=float(arrays["cut_off"]),
        nonzero_cut_off=float(arrays["nonzero_cut_off"]),
        dimension=int(arrays["dimension"]),
    )
    torch.testing.assert_close(found, arrays["probability"], **TOLERANCE)


def test_a_row_without_candidates_is_never_drawn_from() -> None:
    similarity = torch.tensor([[1.0, -0.9, -0.8], [0.3, 0.2, 0.9]])  # distances of the first row beyond the cut-off
    negative = torch.tensor([[False, True, True], [True, True, False]])
    found = sampling_probability(similarity, negative)
    assert found[0].tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(found[1].sum(), torch.tensor(1.0))


def test_distance_weighted_triplets_draw_negatives_only_and_sum() -> None:
    # Candidates nearer than the lower clamp are all equally likely, so that several are drawn.
    pairs = random_pairs()
    near = {"images": pairs.images[0] + 0.1 * pairs.images, "texts": pairs.images[0] + 0.1 * pairs.texts}
    pairs = pairs._replace(**{name: F.normalize(value, dim=-1) for name, value in near.items()})
    similarity = pairs.images @ pairs.texts.T
    possible = set()
    lower = upper = 0.0
    for caption, image in enumerate(pairs.image_of_caption.tolist()):
        positive = float(similarity[image, caption])
        for values, ids, own in (
            (similarity[image], pairs.caption_ids, pairs.image_ids[image]),
            (similarity[:, caption], pairs.image_ids, pairs.caption_ids[caption]),
        ):
            losses = [
                max(0.0, 0.2 - positive + float(v))
                for v, i in zip(values, ids, strict=True)
                if int(i) != int(own) and (2 - 2 * float(v)) ** 0.5 < 1.7
            ] or [0.0]
            lower, upper = lower + min(losses), upper + max(losses)
    for seed in range(20):
        torch.manual_seed(seed)
        loss = float(DistanceWeightedTriplet()(pairs))
        assert lower - 1e-5 <= loss <= upper + 1e-5
        possible.add(round(loss, 5))
    assert len(possible) > 1  # it samples


def test_hard_negatives_equal_loops() -> None:
    pairs = random_pairs(1)
    similarity = pairs.images @ pairs.texts.T
    expected = 0.0
    for caption, image in enumerate(pairs.image_of_caption.tolist()):
        positive = float(similarity[image, caption])
        texts = [float(similarity[image, c]) for c in range(7) if pairs.caption_ids[c] != pairs.image_ids[image]]
        images = [float(similarity[i, caption]) for i in range(4) if pairs.image_ids[i] != pairs.caption_ids[caption]]
        expected += max(0.0, 0.2 - positive + max(texts)) + max(0.0, 0.2 - positive + max(images))
    assert float(HardNegativeTriplet()(pairs)) == pytest.approx(expected, abs=1e-5)


def test_info_nce_equals_loops() -> None:
    pairs = random_pairs(2)
    logits = pairs.images @ pairs.texts.T / 0.1
    expected = 0.0
    for caption, image in enumerate(pairs.image_of_caption.tolist()):
        positive = logits[image, caption]
        texts = [positive, *(logits[image, c] for c in range(7) if pairs.caption_ids[c] != pairs.image_ids[image])]
        images = [positive, *(logits[i, caption] for i in range(4) if pairs.image_ids[i] != pairs.caption_ids[caption])]
        expected += float(torch.stack(texts).logsumexp(0) + torch.stack(images).logsumexp(0) - 2 * positive)
    assert float(InfoNCE(0.1)(pairs)) == pytest.approx(expected / 7, abs=1e-5)


@pytest.mark.parametrize("loss", [DistanceWeightedTriplet(), HardNegativeTriplet(), InfoNCE()])
def test_gradients_are_finite_and_a_batch_of_one_image_costs_nothing(loss: MatchingLoss) -> None:
    torch.manual_seed(0)
    pairs = random_pairs()
    images = pairs.images.clone().requires_grad_()
    loss(pairs._replace(images=images)).backward()
    assert images.grad is not None
    assert images.grad.isfinite().all()
    one_image = pairs._replace(image_ids=torch.full((4,), 10))
    assert float(loss(one_image)) == pytest.approx(0.0, abs=1e-6)


def neutral_pairs() -> Pairs:
    """Of the seven captions the second also holds for image 2, and the third for image 0."""
    neutral = torch.zeros(7, 4, dtype=torch.bool)
    neutral[1, 2] = neutral[2, 0] = True
    return random_pairs(seed=3)._replace(neutral=neutral)


def test_neutral_pairs_are_no_negatives_and_no_positives() -> None:
    pairs = neutral_pairs()
    other = random_pairs(seed=3).negative
    assert (other & ~pairs.negative).nonzero().tolist() == [[0, 2], [2, 1]]
    assert not (pairs.negative & ~other).any()


@pytest.mark.parametrize("loss", [DistanceWeightedTriplet(0.2, 2.0), HardNegativeTriplet(0.2), InfoNCE(0.05)])
def test_no_loss_pushes_a_neutral_pair_apart(loss: MatchingLoss) -> None:
    """Where all others are neutral nothing is pushed away, and nothing is lost."""
    pairs = neutral_pairs()
    everything = ~(pairs.image_ids[:, None] == pairs.caption_ids[None, :])
    assert float(loss(pairs._replace(neutral=everything.T))) == pytest.approx(0.0, abs=1e-6)
    assert float(loss(pairs._replace(neutral=None))) > 0.01


def test_infonce_leaves_neutral_pairs_out_of_the_denominator() -> None:
    pairs = neutral_pairs()
    logits = pairs.images @ pairs.texts.T / 0.1
    expected = []
    for caption, image in enumerate(pairs.image_of_caption.tolist()):
        for values, mask in ((logits[image], pairs.negative[image]), (logits[:, caption], pairs.negative[:, caption])):
            kept = [value for value, negative in zip(values, mask, strict=True) if negative]
            expected.append(torch.stack([logits[image, caption], *kept]).logsumexp(0) - logits[image, caption])
    torch.testing.assert_close(InfoNCE(0.1)(pairs), 2 * torch.stack(expected).mean())
