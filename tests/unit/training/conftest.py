"""Files of images, and a folder for what is computed from them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Ten images of random pixels."""
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(10)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return paths


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"
