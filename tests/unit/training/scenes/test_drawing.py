"""What is drawn is what the facts say: colours, boxes, day and night."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from training.scenes.drawing import SKETCHES, draw_object, draw_scene
from training.scenes.facts import Box
from training.scenes.families import family
from training.scenes.vocabulary import COLOURS, KINDS

Json = dict[str, Any]
GROUND = (128, 128, 128)
NEAR = 40
"""A pixel shows a colour if no channel is further from it than this."""


def share_of(pixels: np.ndarray[Any, np.dtype[Any]], colour: str, brightness: float) -> float:
    expected = np.array(COLOURS[colour]) * brightness
    return float((np.abs(pixels.astype(float) - expected).max(axis=-1) <= NEAR).mean())


def alone(kind: str, colour: str, *, mirrored: bool = False) -> Image.Image:
    canvas = Image.new("RGB", (240, 240), GROUND)
    draw = ImageDraw.Draw(canvas, "RGBA")
    draw_object(draw, kind, COLOURS[colour], Box(40, 30, 200, 190), mirrored=mirrored, brightness=1)
    return canvas


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_an_object_fills_its_box_and_nothing_else(kind: str, mirrored: bool) -> None:
    canvas = alone(kind, "red", mirrored=mirrored)
    bounds = ImageChops.difference(canvas, Image.new("RGB", canvas.size, GROUND)).getbbox()
    assert bounds is not None
    assert np.abs(np.array(bounds) - np.array([40, 30, 200, 190])).max() <= 5, bounds


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_alone_shows_its_own_colour_most(kind: str) -> None:
    bright = [colour for colour in COLOURS if colour not in ("white", "black")]
    for colour in bright:
        pixels = np.asarray(alone(kind, colour))[30:190, 40:200]
        shares = {other: share_of(pixels, other, 1) for other in bright}
        assert max(shares, key=lambda name: shares[name]) == colour, (kind, colour, shares)


def test_images_show_the_claimed_colour_in_every_box(scenes_folder: Path, images: list[Json]) -> None:
    for image in images:
        pixels = np.asarray(Image.open(scenes_folder / "images" / image["filename"]))
        brightness = 0.9 if image["facts"]["time"] == "night" else 1.0
        for group in image["facts"]["objects"]:
            for left, top, right, bottom in group["boxes"]:
                share = share_of(pixels[top:bottom, left:right], group["colour"], brightness)
                assert share > 0.08, (image["filename"], group["kind"], group["colour"], share)


def test_nights_are_darker_than_days(scenes_folder: Path, images: list[Json]) -> None:
    light: dict[str, list[float]] = {"day": [], "night": []}
    for image in images:
        drawn = Image.open(scenes_folder / "images" / image["filename"]).convert("L")
        light[image["facts"]["time"]].append(float(np.median(np.asarray(drawn)[:100])))
    assert max(light["night"]) < min(light["day"])


def test_images_of_equal_facts_differ_and_equal_random_states_do_not() -> None:
    facts, stage = family(Random(0))[0]
    first, again, other = (draw_scene(facts, stage, Random(seed)).tobytes() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_every_kind_has_a_sketch() -> None:
    assert set(SKETCHES) == set(KINDS)
    assert len(KINDS) >= 12
