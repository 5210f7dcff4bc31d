"""The golden tensors beside DESIGN.md: inputs and outputs of the method's blocks from the authors' formulas."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(os.environ.get("GOLDEN_TENSORS", ROOT.parent / "shared" / "golden"))
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def load_golden(name: str) -> dict[str, torch.Tensor]:
    """The arrays of one file as tensors. Without the files the test is skipped, in CI it fails."""
    path = GOLDEN / f"{name}.npz"
    if not path.exists():
        message = f"no golden tensors at {path}: set GOLDEN_TENSORS to the folder that holds them"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with np.load(path) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}
