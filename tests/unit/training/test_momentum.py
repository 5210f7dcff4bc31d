"""Momentum contrast, queues and the slow copy of the network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.golden import TOLERANCE, load_golden
from training.momentum import KeyQueue, MomentumEncoder, momentum_contrast


def test_contrast_is_golden() -> None:
    arrays = load_golden("momentum_contrast")
    ids, none = torch.arange(8), torch.full((32,), -1)
    temperature = float(arrays["temperature"])

    def one_way(query: Tensor, key: Tensor, queue: Tensor) -> Tensor:
        return momentum_contrast(query, key, queue, query_ids=ids, queue_ids=none, temperature=temperature)

    loss = one_way(arrays["image"], arrays["text_key"], arrays["text_queue"]) + one_way(
        arrays["text"], arrays["image_key"], arrays["image_queue"]
    )
    torch.testing.assert_close(loss, arrays["loss"], **TOLERANCE)


def test_keys_of_the_same_image_are_no_negatives() -> None:
    torch.manual_seed(0)
    query, key, queue = (F.normalize(torch.randn(n, 8), dim=-1) for n in (2, 2, 5))
    queue_ids = torch.tensor([7, 1, 1, 9, 2])
    loss = momentum_contrast(query, key, queue, query_ids=torch.tensor([1, 2]), queue_ids=queue_ids)
    expected = []
    for row, image_id in enumerate((1, 2)):
        logits = [query[row] @ key[row] / 0.07]
        logits += [query[row] @ k / 0.07 for k, i in zip(queue, queue_ids, strict=True) if int(i) != image_id]
        expected.append(F.cross_entropy(torch.stack(logits)[None], torch.tensor([0])))
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_the_queue_is_first_in_first_out_with_ids() -> None:
    queue = KeyQueue(5, 2)
    assert not queue.full
    for start in (0, 2, 4):
        queue.push(torch.arange(start, start + 2)[:, None].repeat(1, 2).float(), torch.arange(start, start + 2) + 100)
    assert queue.full
    assert sorted(queue.ids.tolist()) == [101, 102, 103, 104, 105]
    assert {int(i) - 100 for i in queue.ids} == {int(k[0]) for k in queue.keys}
    queue.push(torch.arange(20)[:, None].repeat(1, 2).float(), torch.arange(20))
    assert sorted(queue.ids.tolist()) == [15, 16, 17, 18, 19]


def test_queue_state_survives_a_state_dict() -> None:
    queue, other = KeyQueue(4, 2), KeyQueue(4, 2)
    queue.push(torch.ones(3, 2), torch.tensor([1, 2, 3]))
    other.load_state_dict(queue.state_dict())
    for each in (queue, other):
        each.push(torch.zeros(2, 2), torch.tensor([4, 5]))
    assert torch.equal(queue.keys, other.keys)
    assert queue.ids.tolist() == other.ids.tolist() == [5, 2, 3, 4]


def test_the_copy_moves_slowly_has_no_gradient_and_no_dropout() -> None:
    torch.manual_seed(0)
    online = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    copy = MomentumEncoder(online, momentum=0.9)
    before = [p.clone() for p in copy.encoder.parameters()]
    with torch.no_grad():
        for p in online.parameters():
            p.add_(1.0)
    online(torch.randn(8, 3))  # moves the batch-norm statistics
    copy.update(online)
    for old, new in zip(before, copy.encoder.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1)
        assert not new.requires_grad
    assert torch.equal(copy.encoder[1].running_mean, online[1].running_mean)
    copy.train()
    assert not any(module.training for module in copy.encoder.modules())
