"""Small directories in SCAN's format, in both of its customs: rows once per image and once per caption."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

REGIONS_PER_IMAGE = 4
WORDS = ("dog", "cat", "runs", "sleeps", "red", "green", "grass")


def regions_of(ids: Sequence[int]) -> NDArray[np.float32]:
    """Regions [N, 4, 2048] that follow from the ids."""
    rows = [np.random.default_rng([number, 0]).random((REGIONS_PER_IMAGE, 2048)) for number in ids]
    return np.stack(rows).astype(np.float32)


def globals_of(ids: Sequence[int]) -> NDArray[np.float32]:
    """Global features [N, 512] that follow from the ids."""
    return np.stack([np.random.default_rng([number, 1]).normal(size=512) for number in ids]).astype(np.float32)


def write_scan(folder: Path, prefix: str, image_ids: Sequence[int], *, per_image: int = 2, **changes: Any) -> Path:
    """One split; `changes` replace captions, ids, regions or global_features, None leaves an array out."""
    content: dict[str, Any] = {
        "captions": [_caption(number, place) for number in image_ids for place in range(per_image)],
        "ids": image_ids,
        "regions": regions_of(image_ids),
        "global_features": globals_of(image_ids),
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    for name, key in (("caps", "captions"), ("ids", "ids")):
        (folder / f"{prefix}_{name}.txt").write_text("\n".join(map(str, content[key])) + "\n", encoding="utf-8")
    for name, key in (("ims", "regions"), ("clip", "global_features")):
        if content[key] is not None:
            np.save(folder / f"{prefix}_{name}.npy", content[key])
    return folder


def write_pictures(folder: Path, mapping: Path, ids: Sequence[int]) -> None:
    """An image of noise for each id, and the `id_mapping.json` that names it."""
    names = {}
    for number in ids:
        names[str(number)] = f"val2014/COCO_val2014_{number:012d}.jpg"
        path = folder / names[str(number)]
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 48, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    mapping.write_text(json.dumps(names))


def _caption(number: int, place: int) -> str:
    return f"the {WORDS[number % 7]} {WORDS[(number + place) % 7]}"
