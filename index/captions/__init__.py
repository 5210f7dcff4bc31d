"""Caption files: Karpathy JSON, or a table of images and captions."""

from pathlib import Path

from index.captions.karpathy import read_karpathy
from index.captions.records import CaptionedImage
from index.captions.table import read_csv, read_json_lines
from model.errors import DataError

_READERS = {
    ".json": read_karpathy,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
}


def read_captions(path: Path) -> tuple[CaptionedImage, ...]:
    """The captions of a file, grouped by image, in the order of the file.

    Raises DataError, naming file, line (or place in the JSON) and remedy, for a file that is not there, of an unknown
    kind, malformed, with duplicates, or without any caption.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path} is no caption file by its name; its kind may be {', '.join(_READERS)}")
    try:
        images = reader(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if not any(image.captions for image in images):
        raise DataError(f"{path} holds no caption; add some, or rebuild without captions")
    return images
