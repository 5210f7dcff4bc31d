"""Formats by their first bytes: what Pillow opens, and nothing else."""

from io import BytesIO

import pytest
from PIL import Image

from model.errors import UnreadableImage
from model.preprocess import FORMATS
from service.api.formats import check_format, format_of


def encoded(name: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, name)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_recognised_and_can_be_left_out(name: str) -> None:
    assert format_of(encoded(name)) == name
    check_format(encoded(name), {name})
    with pytest.raises(UnreadableImage, match=f"in the format {name} are not read here; send one of "):
        check_format(encoded(name), set(FORMATS) - {name})


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_not_recognised_is_not_opened(name: str) -> None:
    """Pillow's plugins read no file whose first bytes this module does not know."""
    content = encoded(name)
    for changed in range(4):
        damaged = bytes(byte ^ 0x5A if place == changed else byte for place, byte in enumerate(content))
        if format_of(damaged) is None:
            with pytest.raises(OSError, match="cannot identify"):
                Image.open(BytesIO(damaged), formats=FORMATS)


@pytest.mark.parametrize("content", [b"", b"RIFF0000WAVE", b"<svg/>", b"%PDF-1.4"])
def test_other_bytes_are_left_to_the_decoder(content: bytes) -> None:
    assert format_of(content) is None
    check_format(content, {"JPEG"})
