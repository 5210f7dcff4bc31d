"""What one process does without `torchrun`, and how a batch is shared; tests/integration has two processes."""

import numpy as np
import pytest
import torch

from model.errors import ConfigError
from tests.toy import toy_dataset
from training.config import BatchConfig
from training.data.batches import plan_epoch
from training.distributed import Draw, Group, process_group, share_of_plan


def test_shares_in_their_order_are_the_batch() -> None:
    dataset, _ = toy_dataset()
    for plan in plan_epoch(dataset, BatchConfig(images=8, captions_per_image=2), views=2, seed=0, epoch=0):
        shares = [share_of_plan(plan, rank, 4) for rank in range(4)]
        assert [len(share.image_rows) for share in shares] == [2] * 4
        for name in ("image_rows", "view_of_image", "caption_rows"):
            joined = np.concatenate([getattr(share, name) for share in shares])
            assert joined.tolist() == getattr(plan, name).tolist()
        rows = np.concatenate([share.image_of_caption + 2 * rank for rank, share in enumerate(shares)])
        assert rows.tolist() == plan.image_of_caption.tolist()


def test_a_process_alone_gathers_nothing_and_draws_from_the_one_generator() -> None:
    with process_group() as (group, device):
        assert (group.size, group.first) == (1, True)
        tensor = torch.randn(3, 2, device=device, requires_grad=True)
        assert group.gather(tensor) is tensor
        assert group.sum(tensor) is tensor
        assert group.any(True)
        assert not group.any(False)
        group.broadcast([tensor])
        torch.manual_seed(1)
        with group.main_process_first(), group.forked_rng(Draw.DROPOUT, 0, 1):
            inside = torch.rand(2)
        torch.manual_seed(1)
        assert torch.equal(inside, torch.rand(2))


def test_torchrun_of_one_process_is_a_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with process_group() as (group, _):
        assert type(group) is Group


def test_a_process_without_a_gpu_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"process 1 .* there are 1: start with --nproc-per-node 1"), process_group():
        pass
