"""Views of images, and the average of their embeddings."""

import numpy as np
import pytest

from model.views import averaged, views_of
from tests.pending import unit_rows


def test_the_second_view_is_the_mirror_image() -> None:
    pixels = np.arange(2 * 3 * 2 * 4, dtype=np.float32).reshape(2, 3, 2, 4)
    (whole,) = views_of(pixels, 1)
    assert whole is pixels
    first, second = views_of(pixels, 2)
    assert first is pixels
    assert second[1, 2, 0].tolist() == pixels[1, 2, 0].tolist()[::-1]
    assert second.flags.c_contiguous


def test_the_average_has_length_one() -> None:
    one, other = unit_rows(5, seed=1), unit_rows(5, seed=2)
    assert averaged([one]) is one
    found = averaged([one, other])
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    expected = (one + other) / np.linalg.norm(one + other, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(averaged([one[0], other[0]]), expected[0], atol=1e-6)
