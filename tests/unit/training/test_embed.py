"""An exported model sees images as index and service show them to it, and memory has a bound."""

import gc
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from model.errors import UnsupportedQuery
from model.preprocess import ImagePreprocessing, decode_image, prepare_image
from training import embed
from training.embed import ArtifactEmbedder, Floats

PREPROCESSING = ImagePreprocessing(size=64, mean=(0.5,) * 3, std=(0.5,) * 3, resize="squash", interpolation="bicubic")


class PixelRecorder:
    """Stands for a runtime: keeps the pixels that it is given; its embeddings are their first values."""

    name, accepts_pixels, fuses_semantics = "recorder", True, False

    def __init__(self, preprocessing: ImagePreprocessing | None = PREPROCESSING) -> None:
        self.preprocessing = SimpleNamespace(image=preprocessing)
        self.pixels: list[Floats] = []

    def encode_pixels(self, pixels: Floats, semantics: Floats | None) -> Floats:
        assert semantics is None
        self.pixels.extend(pixels)
        return pixels[:, 0, 0, :2]


def embedder(runtime: PixelRecorder) -> ArtifactEmbedder:
    return ArtifactEmbedder(runtime)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def large_jpeg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fine stripes: what is decoded at a fraction of the size differs from what is not."""
    across, down = np.meshgrid(np.arange(2400), np.arange(1600))
    stripes = 127 + 127 * np.sin(across / 3) * np.cos(down / 5)
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    Image.fromarray(np.stack([stripes, across % 256, down % 256], -1).astype(np.uint8)).save(path, quality=90)
    return path


def test_pixels_of_a_large_jpeg_are_those_of_index_and_service(large_jpeg: Path) -> None:
    runtime = PixelRecorder()
    embedder(runtime).images([large_jpeg])
    served = prepare_image(decode_image(large_jpeg, at_least=PREPROCESSING.size), PREPROCESSING)
    assert np.array_equal(runtime.pixels[0], served)
    assert not np.array_equal(served, prepare_image(decode_image(large_jpeg), PREPROCESSING))


def test_no_more_images_are_decoded_at_once_than_threads_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(20)]
    for number, path in enumerate(paths):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
    alive, most, lock = 0, 0, threading.RLock()

    def freed() -> None:
        nonlocal alive
        with lock:
            alive -= 1

    def counted(source: Path, **how: Any) -> Image.Image:
        nonlocal alive, most
        image = decode_image(source, **how)
        weakref.finalize(image, freed)
        with lock:
            alive += 1
            most = max(most, alive)
        return image

    monkeypatch.setattr(embed, "decode_image", counted)
    monkeypatch.setattr(embed, "IMAGES_AT_ONCE", 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    gc.disable()
    try:
        found = embedder(PixelRecorder()).images(paths)
    finally:
        gc.enable()
    assert 1 <= most <= 2
    assert alive == 0
    np.testing.assert_allclose(found[:, 0], np.arange(20) / 127.5 - 1, atol=1e-6)


def test_a_model_of_regions_refuses_images(large_jpeg: Path) -> None:
    with pytest.raises(UnsupportedQuery, match="recorder takes precomputed regions, not images"):
        embedder(PixelRecorder(None)).images([large_jpeg])
