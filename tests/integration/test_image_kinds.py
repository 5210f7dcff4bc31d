"""Images as people have them, through a rebuild."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from index.items import Modality
from model.runtime import Runtime
from tests.artifacts import write_colour_model
from tests.galleries import open_index, rebuild_index


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_model(tmp_path_factory.mktemp("models") / "colours").directory


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "index"


def write_cmyk(path: Path) -> None:
    Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(path.with_suffix(".jpg"))


def write_palette(path: Path) -> None:
    Image.new("RGB", (9, 9), "red").convert("P").save(path.with_suffix(".gif"))


def write_animation(path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(path.with_suffix(".webp"), save_all=True, append_images=frames[1:], lossless=True)


def write_one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(path.with_suffix(".png"))


def write_transparent(path: Path) -> None:
    Image.new("RGBA", (9, 9), (255, 0, 0, 200)).save(path.with_suffix(".png"))


def write_without_suffix(path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(path, "PNG")


@pytest.mark.parametrize(
    "write",
    [write_cmyk, write_palette, write_animation, write_one_pixel, write_transparent, write_without_suffix],
)
def test_images_of_every_kind_are_embedded(
    model: Path, tmp_path: Path, out: Path, write: Callable[[Path], None]
) -> None:
    (tmp_path / "kinds").mkdir()
    write(tmp_path / "kinds" / "image")
    rebuild_index(model, tmp_path / "kinds", out)
    index = open_index(out)
    with Runtime.load(model, workers=1) as runtime:
        red, blue = runtime.encode_texts(["red", "blue"])
    embedding = index.embedding(next(index.items(Modality.IMAGE)).id)
    assert embedding @ red > embedding @ blue


def test_sixteen_bits_are_not_clipped_to_white(model: Path, tmp_path: Path, out: Path) -> None:
    (tmp_path / "grey").mkdir()
    Image.fromarray(np.full((9, 9), 8000, np.uint16)).save(tmp_path / "grey" / "dark.png")
    rebuild_index(model, tmp_path / "grey", out)
    index = open_index(out)
    with Runtime.load(model, workers=1) as runtime:
        black, white = runtime.encode_texts(["black", "white"])
    embedding = index.embedding(next(index.items(Modality.IMAGE)).id)
    assert embedding @ black > embedding @ white


def test_the_orientation_of_exif_is_honoured(model: Path, tmp_path: Path, out: Path) -> None:
    upright = Image.new("RGB", (32, 16), "red")
    upright.paste("blue", (16, 0, 32, 16))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (tmp_path / "turned").mkdir()
    upright.save(tmp_path / "turned" / "a.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned" / "b.png", exif=exif)
    with Runtime.load(model, workers=1) as runtime:
        plain = runtime.encode_images([upright])[0]
    rebuild_index(model, tmp_path / "turned", out)
    index = open_index(out)
    for item in index.items(Modality.IMAGE):
        assert index.embedding(item.id) @ plain == pytest.approx(1.0, abs=1e-5)
