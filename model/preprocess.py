"""From files and strings to the arrays that the graphs take: the same at training and at serving."""

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field
from tokenizers import Tokenizer

from model.decode_budget import DECODE_BUDGET
from model.errors import ArtifactCorrupt, EmptyText, ImageTooLarge, InvalidInput, TextTooLong, UnreadableImage
from model.pixel_modes import to_rgb

MAX_PIXELS = 50_000_000
MAX_TEXT_CHARACTERS = 10_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # MPO, the JPEG of some cameras, is opened as JPEG

# `_open` judges the size itself; Pillow's own check would warn, once per process and place, in the middle of a log.
Image.MAX_IMAGE_PIXELS = None

_INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_LONGEST_RESIZED = 4  # times the shortest side
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Cc of Unicode without the characters that are white space.
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")


class ImagePreprocessing(BaseModel):
    """How an image becomes a square of pixels.

    `mean` and `std` are on the 0-1 scale. "squash" resizes to the square without a crop; "crop" resizes the shortest
    side to `size` and takes the middle, as CLIP does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=224, gt=0)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Literal["squash", "crop"]
    interpolation: Literal["bicubic", "bilinear"]


class TextPreprocessing(BaseModel):
    """`max_length` in tokens, special ones included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_length: int = Field(ge=3)


class Preprocessing(BaseModel):
    """Everything that happens before the graphs.

    `image` is None where the image encoder takes regions. `text_global` is that of the encoder of the text's global
    feature, where it has a tokenizer of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: ImagePreprocessing | None
    text: TextPreprocessing
    text_global: TextPreprocessing | None = None


class Tokens(NamedTuple):
    """A padded batch of texts, and the same texts for the other encoders of a model, where it has some.

    `global_tokens` are for that of the global feature, `sentence_tokens` for that of the semantics.
    """

    input_ids: NDArray[np.int64]  # [M, T]
    attention_mask: NDArray[np.int64]  # [M, T]
    truncated: NDArray[np.bool_]  # [M]
    global_tokens: "Tokens | None" = None
    sentence_tokens: "Tokens | None" = None


class Word(NamedTuple):
    """A word of a cleaned text: text[start:end], and which of the text's tokens it was read as."""

    start: int
    end: int
    tokens: tuple[int, ...]


class SeenPart(NamedTuple):
    """The part of an upright image that a model sees, in fractions of its width and height."""

    left: float
    top: float
    width: float
    height: float


def decode_image(source: bytes | Path, *, at_least: int | None = None) -> Image.Image:
    """The first frame of an image as upright RGB of 8 bits, transparency on white.

    `at_least`: neither side is needed larger than this. Big JPEGs are then decoded at a fraction of their size, several
    times faster, and big images with transparency or more than 8 bits are averaged. Waits while other threads
    decode as much as DECODE_BUDGET allows. Raises UnreadableImage and ImageTooLarge.
    """
    name, detail = ("the image", None) if isinstance(source, bytes) else (source.name or "the folder", str(source))
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            _refuse_large(image, name, detail)
            whole = image.width * image.height
            if at_least is not None:
                # Twice the size: the resize that follows then hides that the decoder has averaged blocks.
                image.draft(None, (2 * at_least, 2 * at_least))
            with DECODE_BUDGET.reserve(_pixels_in_memory(image, whole)):
                image.load()
                return _upright(image, to_rgb(image, at_least=at_least and 2 * at_least))
    except InvalidInput:
        raise
    except Exception as error:  # Pillow's plugins raise nearly anything for damaged bytes.
        raise UnreadableImage(f"{name} cannot be read: {_reason(error, source)}", detail=detail) from error


def prepare_image(image: Image.Image, preprocessing: ImagePreprocessing) -> NDArray[np.float32]:
    """An image as normalised pixels [3, H, W]; one that has the size already is not resampled."""
    if image.mode != "RGB":
        image = to_rgb(image)
    size = preprocessing.size
    pixels = np.empty((3, size, size), np.float32)
    pixels[...] = np.asarray(_square(image, preprocessing)).transpose(2, 0, 1)  # [H, W, 3] to [3, H, W]
    pixels -= 255.0 * np.array(preprocessing.mean, np.float32).reshape(3, 1, 1)
    pixels *= 1.0 / (255.0 * np.array(preprocessing.std, np.float32).reshape(3, 1, 1))
    return pixels


def seen_part(image: tuple[int, int], preprocessing: ImagePreprocessing) -> SeenPart:
    """Which part of an image of (width, height) becomes the square of pixels."""
    if preprocessing.resize == "squash":
        return SeenPart(0.0, 0.0, 1.0, 1.0)
    left, top, right, bottom = _crop_box(image, preprocessing.size)
    width, height = image
    return SeenPart(left / width, top / height, (right - left) / width, (bottom - top) / height)


def prepare_images(images: Sequence[Image.Image], preprocessing: ImagePreprocessing) -> NDArray[np.float32]:
    """Images as normalised pixels [N, 3, H, W]."""
    size = preprocessing.size
    pixels = np.empty((len(images), 3, size, size), np.float32)
    for row, image in enumerate(images):
        pixels[row] = prepare_image(image, preprocessing)
    return pixels


def clean_text(text: str) -> str:
    """The text without control characters and without white space at its ends.

    Lone surrogates, which JSON can carry and UTF-8 cannot, become U+FFFD. Raises TextTooLong and EmptyText.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TextTooLong(f"the text has {len(text)} characters, at most {MAX_TEXT_CHARACTERS} are taken; shorten it")
    encodable = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    cleaned = _CONTROL_CHARACTERS.sub("", encodable).strip()
    if not cleaned:
        raise EmptyText("the text is empty: it has only white space or control characters; send at least one word")
    return cleaned


class TextTokenizer:
    """Texts to padded tokens, by a `tokenizers` file whose own padding and truncation are replaced; thread-safe."""

    def __init__(self, tokenizer_file: Path, max_length: int) -> None:
        self.max_length = max_length
        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # `tokenizers` raises a bare Exception.
            raise ArtifactCorrupt(
                f"{tokenizer_file.name} is not a file of `tokenizers`: {error}", detail=str(tokenizer_file)
            ) from error
        padding = self._tokenizer.padding or {}
        self._tokenizer.enable_padding(pad_id=padding.get("pad_id", 0), pad_token=padding.get("pad_token", "[PAD]"))
        self._tokenizer.enable_truncation(max_length)

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokens of the cleaned texts, padded to the longest of them; raises EmptyText and TextTooLong."""
        encodings = self._tokenizer.encode_batch([clean_text(text) for text in texts])
        for text, encoding in zip(texts, encodings, strict=True):
            if not any(encoding.attention_mask):
                raise EmptyText(f"the text {text!r:.60} has no word or sign that the model knows; write it otherwise")
        shape = (len(texts), len(encodings[0]) if encodings else 0)
        return Tokens(
            np.array([encoding.ids for encoding in encodings], np.int64).reshape(shape),
            np.array([encoding.attention_mask for encoding in encodings], np.int64).reshape(shape),
            np.array([bool(encoding.overflowing) for encoding in encodings], np.bool_),
        )

    def words(self, text: str) -> list[Word]:
        """The words of the cleaned text in their order, as far as it is read; special tokens and signs are left out.

        Offsets count characters (code points) of the cleaned text. Raises EmptyText and TextTooLong.
        """
        cleaned = clean_text(text)
        encoding = self._tokenizer.encode(cleaned)
        tokens_of: dict[tuple[int, int], list[int]] = {}
        for token, word in enumerate(encoding.word_ids):
            start, end = encoding.offsets[token]
            if word is not None and encoding.attention_mask[token] and cleaned[start:end].strip():
                # Tokenizers that do not split a text beforehand (Gemma's, of SigLIP 2) take all of it for one word.
                so_far = len(cleaned[:end].split())
                tokens_of.setdefault((word, so_far), []).append(token)
        words = []
        for tokens in tokens_of.values():
            start, end = encoding.offsets[tokens[0]][0], encoding.offsets[tokens[-1]][1]
            start += len(cleaned[start:end]) - len(cleaned[start:end].lstrip())
            if any(character.isalnum() for character in cleaned[start:end]):
                words.append(Word(start, end, tuple(tokens)))
        return words


def _refuse_large(image: Image.Image, name: str, detail: str | None) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageTooLarge(
            f"{name} has {width} x {height} pixels, at most {MAX_PIXELS:,} are decoded; make it smaller", detail=detail
        )


def _pixels_in_memory(image: Image.Image, whole: int) -> int:
    """How many pixels of RGB decoding takes as much memory as; `whole`: those of the image before a draft."""
    if image.format == "WEBP":
        return 3 * whole  # its decoder keeps canvases of its own
    if "progressive" in image.info:
        return whole  # a JPEG whose coefficients are all held, whatever the size they are decoded at
    return image.width * image.height


def _upright(source: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = source.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Damaged EXIF is no reason to refuse a sound image.
        orientation = 1
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _square(image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    """An image resized to the square; a crop to the byte as the image processors of `transformers` make it.

    Resizing the part that is left alone gives the same but for rounding, and is for shapes of which little is left: an
    image of 1 x 50,000,000 costs nothing then.
    """
    size, resample = preprocessing.size, _INTERPOLATIONS[preprocessing.interpolation]
    if preprocessing.resize == "squash":
        return image.resize((size, size), resample)
    if max(image.size) > _LONGEST_RESIZED * min(image.size):
        return image.resize((size, size), resample, _crop_box(image.size, size))
    width, height = (int(size * side / min(image.size)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), resample).crop((left, top, left + size, top + size))


def _crop_box(image: tuple[int, int], size: int) -> tuple[float, float, float, float]:
    """The part of the image that is left when its shortest side is resized to `size` and the middle is cut out."""
    shortest = min(image)
    box = []
    for side in image:
        resized = int(size * side / shortest)
        start = (resized - size) // 2
        box.append((start * side / resized, (start + size) * side / resized))
    (left, right), (top, bottom) = box
    return left, top, right, bottom


def _reason(error: Exception, source: bytes | Path) -> str:
    if isinstance(error, UnidentifiedImageError):
        empty = not (source if isinstance(source, bytes) else source.stat().st_size)
        return "it is empty" if empty else f"its format is not one of {', '.join(FORMATS)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    reason = str(error) or type(error).__name__
    return reason if isinstance(source, bytes) else reason.replace(str(source), source.name)
