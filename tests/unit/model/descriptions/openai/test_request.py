"""The image as it is sent."""

import base64
from io import BytesIO

import pytest
from PIL import Image

from model.descriptions.openai import Picture
from model.descriptions.openai.request import data_url
from tests.sample_images import distance, gradient_image


def sent(image: Image.Image, picture: Picture) -> Image.Image:
    head, _, data = data_url(image, picture).partition(",")
    assert head == "data:image/jpeg;base64"
    arrived = Image.open(BytesIO(base64.b64decode(data, validate=True)))
    assert arrived.format == "JPEG"
    arrived.load()
    return arrived


def test_a_small_image_is_sent_as_it_is() -> None:
    image = gradient_image(60, 40)
    assert distance(sent(image, Picture(side=60)), image) < 5


@pytest.mark.parametrize(
    ("width", "height", "size"), [(400, 200, (100, 50)), (150, 300, (50, 100)), (5000, 2, (100, 1))]
)
def test_the_longest_side_is_bounded(width: int, height: int, size: tuple[int, int]) -> None:
    image = gradient_image(width, height)
    assert sent(image, Picture(side=100)).size == size
    assert image.size == (width, height)


def test_quality_is_that_of_the_settings() -> None:
    image = gradient_image(200, 200)
    assert len(data_url(image, Picture(quality=20))) < len(data_url(image, Picture(quality=95)))
