"""fp32 or bf16 for the forward of the encoders. What the losses, the queues and the norms see is always fp32."""

from contextlib import AbstractContextManager
from typing import Literal

import torch
import torch.nn.functional as F

from model.errors import ConfigError
from model.nn.encoder import Encoding

Precision = Literal["fp32", "bf16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Where the encoders run: matrix products in bf16 where asked for, parameters stay fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def in_fp32(encoding: Encoding) -> Encoding:
    """What autocast gave in fp32, with embeddings of length one to fp32's accuracy; other encodings as they are."""
    if not any(tensor is not None and tensor.dtype == torch.bfloat16 for tensor in encoding):
        return encoding
    return Encoding(
        embedding=F.normalize(encoding.embedding.float(), dim=-1),
        local_embedding=encoding.local_embedding.float(),
        local_features=encoding.local_features.float(),
        mask=encoding.mask,
        plain=None if encoding.plain is None else F.normalize(encoding.plain.float(), dim=-1),
    )


def refuse_unsupported(precision: Precision, device: torch.device) -> None:
    """Raise ConfigError where the device computes bf16 not at all, or only by emulation slower than fp32."""
    if precision == "fp32" or _computes_bf16(device):
        return
    raise ConfigError(f"precision = 'bf16' is not supported by this {device.type}: set precision = 'fp32'")


def _computes_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
