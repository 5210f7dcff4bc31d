"""Images of every kind become upright RGB; damaged and foreign ones are refused."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from model.errors import ImageTooLarge, UnreadableImage
from model.preprocess import MAX_PIXELS, decode_image
from tests.sample_images import distance, encoded, gradient_image


def header_of_png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 9) + b"IDAT"


@pytest.mark.parametrize(
    ("kind", "mode", "tolerance"),
    [
        ("PNG", "RGB", 0),
        ("BMP", "RGB", 0),
        ("TIFF", "RGB", 0),
        ("PNG", "RGBA", 0),
        ("JPEG", "RGB", 5),
        ("MPO", "RGB", 5),
        ("WEBP", "RGB", 4),
        ("JPEG", "CMYK", 5),
        ("TIFF", "CMYK", 2),
        ("TIFF", "YCbCr", 2),
        ("PNG", "P", 25),
        ("GIF", "P", 25),
    ],
)
def test_every_format_shows_the_same_image(kind: str, mode: str, tolerance: float) -> None:
    original = gradient_image()
    assert distance(decode_image(encoded(original.convert(mode), kind)), original) <= tolerance


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_grey_images_become_rgb(mode: str) -> None:
    decoded = decode_image(encoded(gradient_image().convert(mode), "PNG"))
    assert distance(decoded, gradient_image().convert("1" if mode == "1" else "L").convert("RGB")) == 0


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I;16B"), ("TIFF", "I")])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str, mode: str) -> None:
    values = np.linspace(0, 65535, 48).reshape(6, 8)
    types = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}
    image = Image.frombytes(mode, (8, 6), values.astype(types[mode]).tobytes())
    decoded = decode_image(encoded(image, kind))
    assert np.abs(np.asarray(decoded, float)[..., 0] - values / 257).max() <= 1


@pytest.mark.parametrize("white", [1.0, 65535.0, 1e6])
def test_floats_are_scaled_to_the_white_that_holds_them(white: float) -> None:
    values = np.linspace(-0.5, 1.0, 48, dtype=np.float32).reshape(6, 8) * np.float32(white)
    values[0, 0] = np.nan
    decoded = np.asarray(decode_image(encoded(Image.fromarray(values), "TIFF")))
    assert decoded[0, 0].tolist() == [0, 0, 0]
    assert decoded[-1, -1].tolist() == [255, 255, 255]
    assert abs(int(decoded[4, 0, 0]) - 255 * values[4, 0] / white) <= 1


def test_transparency_is_laid_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 255, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    pixels = np.asarray(decode_image(encoded(image, "PNG")))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 1].tolist() == [0, 0, 255]
    assert pixels[0, 2].tolist() == [127, 127, 127]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_a_transparent_palette_entry_is_laid_on_white(kind: str, transparency: int | bytes) -> None:
    if kind == "GIF" and isinstance(transparency, bytes):
        transparency = 1
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    pixels = np.asarray(decode_image(encoded(image, kind, transparency=transparency)))
    assert pixels[0].tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    animated = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red, green, blue = np.asarray(decode_image(animated), float).mean((0, 1))
    assert red > 240
    assert green < 15
    assert blue < 15


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_honoured(kind: str, orientation: int) -> None:
    upright = gradient_image()
    # How a camera that is held this way stores the image: the inverse of what a viewer does.
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = upright.transpose(stored[orientation]) if orientation > 1 else upright
    assert distance(decode_image(encoded(image, kind, exif=exif)), upright) < 6


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\x00\x00", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00garbage!"])
def test_damaged_exif_is_no_reason_to_refuse_an_image(exif: bytes) -> None:
    assert decode_image(encoded(gradient_image(), "JPEG", exif=exif)).size == (60, 40)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_changes_nothing(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    assert decode_image(encoded(gradient_image(), "JPEG", exif=exif)).size == (60, 40)


def test_a_single_pixel_is_an_image() -> None:
    assert np.asarray(decode_image(encoded(Image.new("RGB", (1, 1), "red"), "PNG"))).tolist() == [[[255, 0, 0]]]


def test_files_are_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "an image.jpg"
    gradient_image().save(path)
    assert decode_image(path).size == (60, 40)
    path.write_bytes(b"not an image")
    with pytest.raises(
        UnreadableImage, match=r"^an image\.jpg cannot be read: its format is not one of JPEG"
    ) as caught:
        decode_image(path)
    assert str(tmp_path) not in str(caught.value)
    assert caught.value.detail == str(path)


def test_what_cannot_be_opened_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for path, reason in (
        (tmp_path / "nowhere.png", "no such file"),
        (tmp_path, "is a directory"),
        (tmp_path / "empty.png", "it is empty"),
    ):
        with pytest.raises(UnreadableImage, match=rf"{path.name} .*{reason}"):
            decode_image(path)


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"P6 1 1 255 abc"])
def test_foreign_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(UnreadableImage, match="the image cannot be read") as caught:
        decode_image(content)
    assert caught.value.detail is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.8])
def test_a_truncated_image_is_refused_and_the_next_one_works(kind: str, kept: float) -> None:
    noise = Image.frombytes("RGB", (64, 64), random.Random(0).randbytes(64 * 64 * 3))
    whole = encoded(noise, kind)
    with pytest.raises(UnreadableImage):
        decode_image(whole[: int(len(whole) * kept)])
    assert decode_image(whole).size == (64, 64)


@pytest.mark.parametrize("size", [(10_000, 5_001), (50_000_001, 1), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_by_the_header(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge, match=f"the image has {size[0]} x {size[1]} pixels, at most 50,000,000"):
        decode_image(header_of_png(*size))


def test_the_largest_image_is_decoded() -> None:
    image = Image.new("1", (10_000, MAX_PIXELS // 10_000))
    assert decode_image(encoded(image, "PNG")).size == image.size


def test_an_overflowing_text_chunk_is_refused() -> None:
    bomb = b"zTXtkey\x00\x00" + zlib.compress(bytes(100_000_000))
    png = encoded(gradient_image(), "PNG")
    chunk = struct.pack(">I", len(bomb) - 4) + bomb + struct.pack(">I", zlib.crc32(bomb))
    with pytest.raises(UnreadableImage):
        decode_image(png[:33] + chunk + png[33:])


@given(st.binary(max_size=200))
def test_random_bytes_never_do_worse_than_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode_image(content)


@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]), st.data())
def test_flipped_bytes_never_do_worse_than_unreadable(kind: str, data: st.DataObject) -> None:
    content = bytearray(encoded(gradient_image(12, 8), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode_image(bytes(content))
    except (UnreadableImage, ImageTooLarge):
        return
    assert image.mode == "RGB"


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same() -> None:
    large = encoded(gradient_image(1600, 1200), "JPEG")
    whole, reduced = decode_image(large), decode_image(large, at_least=224)
    assert reduced.size == (800, 600)
    assert distance(whole.resize((224, 224)), reduced.resize((224, 224))) < 1


@pytest.mark.parametrize("size", [(300, 200), (895, 448), (224, 224)])
def test_a_small_jpeg_is_decoded_whole(size: tuple[int, int]) -> None:
    small = encoded(gradient_image(*size), "JPEG")
    assert decode_image(small, at_least=224).tobytes() == decode_image(small).tobytes()
