"""Named colours: of drawn images, in the right cells, by the nearest shade."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.descriptions.tags.colours import NAMES, SHADES, colour_layout, to_lab
from training.scenes.vocabulary import COLOURS

SIDE = 224


def plain(rgb: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((SIDE, SIDE, 3), rgb, np.uint8)


@pytest.mark.parametrize(("name", "rgb"), COLOURS.items())
def test_a_plain_image_has_the_name_of_its_colour_everywhere(name: str, rgb: tuple[int, int, int]) -> None:
    layout = colour_layout(plain(rgb))
    assert (layout.shares[..., NAMES.index(name)] == 1).all()
    assert layout.whole[name] == 1


def test_upper_and_lower_third_are_told_apart() -> None:
    image = plain(COLOURS["blue"])
    image[SIDE // 2 :] = COLOURS["green"]
    layout = colour_layout(image)
    assert layout.upper["blue"] == layout.lower["green"] == 1
    assert layout.whole["blue"] == pytest.approx(0.5, abs=0.02)


def test_what_is_in_the_middle_exceeds_the_border() -> None:
    image = plain(COLOURS["green"])
    image[80:144, 80:144] = COLOURS["red"]
    over = colour_layout(image).centre_over_border
    assert over["red"] > 0.7
    assert over["green"] < -0.7
    assert over["blue"] == 0


def test_shares_of_a_cell_add_up_to_one_for_any_image_and_size() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((12, 12), (13, 100), (224, 224)):
        shares = colour_layout(rng.integers(0, 256, (height, width, 3), np.uint8)).shares
        assert shares.shape == (3, 3, len(NAMES))
        assert np.allclose(shares.sum(axis=2), 1)


def test_the_table_names_each_pixel_as_a_search_through_all_shades_does() -> None:
    rng = np.random.default_rng(0)
    middles = rng.integers(0, 32, (50, 3)) * 8 + 4  # of what shares a place in the table
    for rgb in middles:
        apart = {
            name: min(float(np.square(to_lab(np.float32(rgb)) - to_lab(np.float32(shade))).sum()) for shade in shades)
            for name, shades in SHADES.items()
        }
        nearest = min(apart, key=lambda name: apart[name])
        red, green, blue = rgb.tolist()
        assert colour_layout(plain((red, green, blue))).whole[nearest] == 1


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_lab_has_the_known_values(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    assert to_lab(np.float32(rgb)) == pytest.approx(lab, abs=0.1)
