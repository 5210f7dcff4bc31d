"""Which image formats are read: settings may allow fewer than the decoder knows."""

from collections.abc import Collection, Mapping

from model.errors import UnreadableImage

# The prefixes by which Pillow chooses a decoder, so that what passes here is opened as nothing else.
_PREFIXES: Mapping[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"MM\x00*", b"II*\x00", b"MM*\x00", b"II\x00*", b"MM\x00+", b"II+\x00"),
}


def format_of(content: bytes) -> str | None:
    """The format of an image file, judged by its first bytes; None for anything else."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((name for name, prefixes in _PREFIXES.items() if content.startswith(prefixes)), None)


def check_format(content: bytes, allowed: Collection[str]) -> None:
    """Raises UnreadableImage for an image file of a format that is known, but not allowed here.

    Other bytes are left to the decoder, which has the better message.
    """
    found = format_of(content)
    if found is not None and found not in allowed:
        raise UnreadableImage(
            f"images in the format {found} are not read here; send one of {', '.join(sorted(allowed))}"
        )
