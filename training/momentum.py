"""Momentum contrast over queues that know image ids (AAHR, section 3.5; MoCo, CVPR 2020)."""

import copy

import torch
from torch import Tensor, nn


def momentum_contrast(
    query: Tensor, key: Tensor, queue: Tensor, *, query_ids: Tensor, queue_ids: Tensor, temperature: float = 0.07
) -> Tensor:
    """InfoNCE of queries [B, D] against their own keys [B, D] and the negatives of the queue [L, D]; the batch mean.

    Keys of the queue with the image id of the query are masked out; what else a caption holds for is not known of keys.
    Call it for both directions and add.
    """
    positive = (query * key).sum(dim=1, keepdim=True)
    negative = (query @ queue.T).masked_fill(query_ids[:, None] == queue_ids[None, :], float("-inf"))
    logits = torch.cat([positive, negative], dim=1) / temperature
    return (logits.logsumexp(dim=1) - logits[:, 0]).mean()


class KeyQueue(nn.Module):
    """First in, first out: the last `length` momentum embeddings with their image ids, all state in buffers."""

    keys: Tensor
    ids: Tensor
    pointer: Tensor
    written: Tensor

    def __init__(self, length: int, dimension: int) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("keys", torch.zeros(length, dimension))
        self.register_buffer("ids", torch.full((length,), -1, dtype=torch.long))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("written", torch.zeros((), dtype=torch.long))

    @property
    def full(self) -> bool:
        """Whether every place holds a key."""
        return int(self.written) >= self.length

    @torch.no_grad()
    def push(self, keys: Tensor, ids: Tensor) -> None:
        """Append keys [B, D] with image ids [B]; the oldest fall out. Of more than `length` the last are kept."""
        keys, ids = keys[-self.length :], ids[-self.length :]
        places = (self.pointer + torch.arange(len(keys), device=keys.device)) % self.length
        self.keys[places] = keys.to(self.keys.dtype)
        self.ids[places] = ids
        self.pointer.copy_((self.pointer + len(keys)) % self.length)
        self.written.add_(len(keys)).clamp_(max=self.length)


class MomentumEncoder(nn.Module):
    """A slow copy of an encoder: parameters are averaged, buffers copied, dropout is off, no gradient."""

    def __init__(self, online: nn.Module, momentum: float) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(online).requires_grad_(False).eval()
        self.momentum = momentum

    def train(self, mode: bool = True) -> "MomentumEncoder":  # noqa: ARG002
        """Stays in evaluation mode whatever the parent does: dropout off, batch-norm statistics as copied."""
        return super().train(False)

    @torch.no_grad()
    def update(self, online: nn.Module) -> None:
        """p <- momentum p + (1 - momentum) online, for all parameters; buffers are copied."""
        pairs = zip(self.encoder.parameters(), online.parameters(), strict=True)
        own, new = zip(*((own, new.detach()) for own, new in pairs if new.requires_grad), strict=True)
        torch._foreach_lerp_(own, new, 1 - self.momentum)  # all at once: on a GPU the launches are what takes time
        for kept, current in zip(self.encoder.buffers(), online.buffers(), strict=True):
            kept.copy_(current)
