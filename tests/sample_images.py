"""A small image with smooth colours, as the bytes of a file, and how far two images are from each other."""

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageDraw


def gradient_image(width: int = 60, height: int = 40) -> Image.Image:
    """Smooth colours with a red mark in the upper left corner."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    image = Image.fromarray(np.stack([across, down, 255 - across], -1).astype(np.uint8))
    ImageDraw.Draw(image).rectangle((0, 0, width // 4, height // 4), fill="red")
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def distance(image: Image.Image, other: Image.Image) -> float:
    assert image.mode == other.mode == "RGB"
    assert image.size == other.size
    return float(np.abs(np.asarray(image, float) - np.asarray(other, float)).mean())
