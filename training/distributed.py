"""The processes of one run: each encodes its share of a batch, and computes every loss over the whole batch.

The gradients of all n processes are averaged. Each of them computes the whole loss, so what it gathered is scaled by n
on the way back: the mean of n times the gradient through each share is the gradient of the loss, and a parameter of the
objective, which every process sees in full, keeps its own.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import IntEnum
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from model.errors import ConfigError, TrainingError
from training.data.batches import BatchPlan

# Between two collectives all processes have about as much to do.
PATIENCE = timedelta(hours=2)
# The others wait while the first one computes features or evaluates, which may take days; one that ends is noticed at
# once, as its connections close.
PATIENCE_WITH_THE_FIRST = timedelta(days=365)


class Draw(IntEnum):
    """What a process draws its own random numbers for."""

    AUGMENTATION = 0
    DROPOUT = 1


class Group:
    """A single process: nothing to gather and nobody to wait for."""

    rank = 0
    size = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes the run directory."""
        return self.rank == 0

    def share(self, plan: BatchPlan) -> BatchPlan:
        """The images of a plan that this process encodes, with their captions."""
        return plan

    def gather(self, rows: Tensor) -> Tensor:
        """The rows [n, ...] of all processes in their order, with gradient; n may differ, as may the padding."""
        return rows

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, with gradient."""
        return values

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over the processes."""

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors, and torch's random state, with those of the first process."""

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process."""
        return flag

    def wait(self) -> None:
        """Block until all processes have arrived."""

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in the first process before the others, which then find its results in the cache."""
        yield

    @contextmanager
    def forked_rng(self, draw: Draw, *key: int) -> Iterator[None]:  # noqa: ARG002
        """Give each process its own random numbers in the block, seeded by the key; later draws are equal again."""
        yield


class TorchrunGroup(Group):
    """The processes that `torchrun` started. Raises TrainingError where one of them has ended."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size, self.device = dist.get_rank(), dist.get_world_size(), device
        self.waiting = dist.new_group(timeout=PATIENCE_WITH_THE_FIRST, backend="gloo")

    def share(self, plan: BatchPlan) -> BatchPlan:
        """The images of a plan that this process encodes, with their captions."""
        return share_of_plan(plan, self.rank, self.size)

    def gather(self, rows: Tensor) -> Tensor:
        """The rows [n, ...] of all processes in their order, with gradient; n may differ, as may the padding."""
        gathered: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
        return gathered

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, with gradient."""
        total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
        return total

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over the processes."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        mean = _summed(torch.cat([gradient.flatten() for gradient in gradients])) / self.size
        parts = torch.split(mean, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors, and torch's random state, with those of the first process."""
        random = torch.get_rng_state()
        with _peers_alive():
            for tensor in (*tensors, random):
                dist.broadcast(tensor, src=0)
        torch.set_rng_state(random)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process."""
        return bool(_summed(torch.tensor([int(flag)])))

    def wait(self) -> None:
        """Block until all processes have arrived, however long that takes."""
        with _peers_alive():
            dist.all_reduce(torch.zeros(1), group=self.waiting)

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in the first process before the others, which then find its results in the cache."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    @contextmanager
    def forked_rng(self, draw: Draw, *key: int) -> Iterator[None]:
        """Give each process its own random numbers in the block, seeded by the key; later draws are equal again."""
        seed = int(np.random.SeedSequence([*key, draw, self.rank]).generate_state(1, np.uint64)[0] >> 1)
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield


@contextmanager
def process_group() -> Iterator[tuple[Group, torch.device]]:
    """The processes that `torchrun` started, or this one alone, and the device of this one.

    Gloo carries tensors of the CPU, NCCL those of GPUs. Raises ConfigError where a process has no GPU of its own.
    """
    if not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield Group(), _device(0)
        return
    device = _device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    yield TorchrunGroup(device), device
    # After an error the connections stay up until this process has ended: the others, and `torchrun`, which then ends
    # them, hear of it once its message is out.
    dist.destroy_process_group()


def share_of_plan(plan: BatchPlan, rank: int, size: int) -> BatchPlan:
    """The `rank`-th of `size` equal runs of images [N / size] with their captions; N is divisible by `size`."""
    count = len(plan.image_rows) // size
    own = slice(rank * count, (rank + 1) * count)
    captions = plan.image_of_caption // count == rank
    return BatchPlan(
        image_rows=plan.image_rows[own],
        view_of_image=plan.view_of_image[own],
        caption_rows=plan.caption_rows[captions],
        image_of_caption=plan.image_of_caption[captions] - rank * count,
        joined_image_rows=plan.joined_image_rows,
    )


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise ConfigError(
            f"process {local_rank} of this machine has no GPU of its own, there are {torch.cuda.device_count()}: "
            f"start with --nproc-per-node {torch.cuda.device_count()}, or hide all with CUDA_VISIBLE_DEVICES="
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


class _Gather(torch.autograd.Function):
    """Rows of all processes; backward takes the own rows, scaled by the number of processes (see the module)."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        shapes = _gathered(torch.tensor(own.shape))
        counts = [int(shape[0]) for shape in shapes]
        padded = own.new_zeros(tuple(torch.stack(shapes).amax(dim=0).tolist()))
        ctx.own = tuple(slice(0, length) for length in own.shape)
        padded[ctx.own] = own
        ctx.start, ctx.size = sum(counts[: dist.get_rank()]), len(counts)
        return torch.cat([part[:count] for part, count in zip(_gathered(padded), counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        own: Tensor = gradient[ctx.start :][ctx.own] * ctx.size
        return own


class _Sum(torch.autograd.Function):
    """The sum over all processes; each of them depends on it, so backward sums as well."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:  # noqa: ARG004
        return _summed(own)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        (gradient,) = gradients
        return _summed(gradient)


def _gathered(own: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    with _peers_alive():
        dist.all_gather(parts, own)
    return parts


def _summed(own: Tensor) -> Tensor:
    total = own.clone(memory_format=torch.contiguous_format)
    with _peers_alive():
        dist.all_reduce(total)
    return total


@contextmanager
def _peers_alive() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).splitlines()[0].rpartition("] ")[2]  # without the source file of Gloo
        raise TrainingError(
            f"another process of this run has ended ({reason:.80}): fix what its own message says, then continue with "
            "--resume"
        ) from error
