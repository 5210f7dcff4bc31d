"""Where this process computes, and how what it computes with gets there."""

from typing import Any, TypeVar

import torch
from torch import nn

from model.nn.aahr import TokenBatch
from model.nn.features import LocalFeatures
from model.nn.semantic import Semantics
from training.soft_positives import SentenceEmbeddings

Item = TypeVar("Item", bound=LocalFeatures | TokenBatch | SentenceEmbeddings | Semantics)


def default_device() -> torch.device:
    """The GPU of this process where it has one (under `torchrun` that of its local rank), else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def device_of(module: nn.Module) -> torch.device:
    """Where the parameters and buffers of a module are; the CPU for one that has none."""
    tensors = (tensor for group in (module.parameters(), module.buffers()) for tensor in group)
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def move(item: Item, device: torch.device) -> Item:
    """The same tensors on a device; what is not given stays so."""
    fields = item._asdict()
    moved: dict[str, Any] = {name: None if tensor is None else tensor.to(device) for name, tensor in fields.items()}
    return type(item)(**moved)
