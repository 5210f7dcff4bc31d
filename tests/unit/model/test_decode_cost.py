"""Small files of many pixels: no kind of image costs more than an opaque one of the same size."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[3]
LARGE, SIDE = 7000, 4000
BYTES_PER_PIXEL = 4  # as Pillow keeps RGB
WORKSPACE = 12_000_000  # of decoders, tiles and the imports of plugins


class Cost(NamedTuple):
    """Of one file in a process of its own."""

    peak: int  # bytes above what the process had before
    seconds: float


def palette_image(side: int) -> Image.Image:
    image = Image.new("P", (side, side))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.paste(1, (0, 0, side // 2, side))
    return image


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cost]:
    """Of one file of each kind, all in one process after the other."""
    folder = tmp_path_factory.mktemp("large")
    palette_image(LARGE).save(folder / "palette.png", transparency=b"\x80\x00")
    palette_image(LARGE).save(folder / "opaque.png")
    palette_image(SIDE).save(folder / "palette.gif", transparency=0)
    for mode, colour, name in (
        ("RGBA", (10, 20, 30, 40), "rgba.png"),
        ("LA", (10, 40), "la.png"),
        ("RGB", (10, 20, 30), "rgb.png"),
        ("I;16", 1000, "grey16.png"),
        ("I", 100_000, "grey32.tif"),
        ("F", 0.5, "float.tif"),
        ("RGB", (10, 20, 30), "rgb.jpg"),
    ):
        Image.new(mode, (SIDE, SIDE), colour).save(folder / name, **_options(name))  # type: ignore[arg-type]
    files = sorted(folder.iterdir())
    command = [sys.executable, "-m", "tests.unit.model.decode_cost", *map(str, files)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {file.name: Cost(**line) for file, line in zip(files, lines, strict=True)}


def _options(name: str) -> dict[str, object]:
    if name.endswith(".tif"):
        return {"compression": "tiff_deflate"}
    return {"compress_level": 1} if name.endswith(".png") else {}


def test_a_transparent_palette_costs_no_more_than_an_opaque_one(costs: dict[str, Cost]) -> None:
    transparent, opaque = costs["palette.png"], costs["opaque.png"]
    assert transparent.peak < opaque.peak
    assert transparent.peak < 2 * LARGE * LARGE
    assert transparent.seconds < 2.5 * opaque.seconds


@pytest.mark.parametrize(
    "name", ["palette.gif", "rgba.png", "la.png", "rgb.png", "grey16.png", "grey32.tif", "float.tif"]
)
def test_no_kind_takes_more_memory_than_its_pixels_in_rgb(costs: dict[str, Cost], name: str) -> None:
    assert costs[name].peak < BYTES_PER_PIXEL * SIDE * SIDE + WORKSPACE


def test_a_large_jpeg_is_decoded_at_a_fraction(costs: dict[str, Cost]) -> None:
    assert costs["rgb.jpg"].peak < SIDE * SIDE
