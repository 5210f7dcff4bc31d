"""Small files in the formats of N24News and RSITMD, with a drawn image for each record."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.artifacts import COLOURS

FIELDS_OF_NEWS = ("headline", "abstract", "body", "section", "article_url", "image_url")


def news_image(number: int, **changes: Any) -> dict[str, Any]:
    """One record of N24News; its image has the colour that its caption names."""
    record = {"article_id": f"article-{number}", "image_id": f"n{number:03}", "caption": f"A {colour(number)} square."}
    return {**record, **dict.fromkeys(FIELDS_OF_NEWS, "words"), **changes}


def write_news(folder: Path, splits: Mapping[str, Sequence[dict[str, Any]]]) -> tuple[Path, Path]:
    """nytimes_{split}.json for each of the published names (train, dev, test), and the folder of images."""
    images = folder / "imgs"
    for suffix, records in splits.items():
        for number, record in enumerate(records):
            draw(images / f"{record.get('image_id')}.jpg", number)
        (folder / f"nytimes_{suffix}.json").write_text(json.dumps(list(records)), encoding="utf-8")
    return folder, images


def aerial_image(number: int, split: str, *sentences: str, **changes: Any) -> dict[str, Any]:
    """One record of RSITMD, with five sentences unless others are given."""
    raws = sentences or tuple(f"a {colour(number)} square of kind {place}" for place in range(5))
    ids = [10 * number + place for place in range(len(raws))]
    described = [
        {"tokens": raw.split(), "raw": raw, "imgid": number, "sentid": sentid}
        for raw, sentid in zip(raws, ids, strict=True)
    ]
    record = {"filename": f"port_{number}.tif", "imgid": number, "split": split, "sentids": ids}
    return {**record, "sentences": described, **changes}


def write_aerial(folder: Path, records: Sequence[dict[str, Any]]) -> tuple[Path, Path]:
    """dataset_RSITMD.json, and the folder of images."""
    images = folder / "images"
    for number, record in enumerate(records):
        draw(images / str(record.get("filename")), number)
    file = folder / "dataset_RSITMD.json"
    file.write_text(json.dumps({"images": list(records), "dataset": "rsitmd"}), encoding="utf-8")
    return file, images


def colour(number: int) -> str:
    """A colour that the models of `tests.artifacts` know."""
    return COLOURS[number % len(COLOURS)]


def draw(path: Path, number: int) -> None:
    """An image of one colour, in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour(number)).save(path)
