"""The papers' presets in small sizes: their recipes, and files in the formats that they read."""

import json
from pathlib import Path
from typing import NamedTuple

from tests.scan_files import WORDS, write_pictures
from training.config import TrainingConfig, load_config
from training.export import export
from training.train import BEST, train

CONFIGS = Path(__file__).resolve().parents[1] / "training" / "configs"
TRAIN_IDS, VAL_IDS, TEST_IDS = range(100, 124), range(200, 206), range(300, 308)
SMALL = (
    "epochs=2",
    "model.dimension=32",
    "model.relation_heads=4",
    "batch.images=8",
    "objective.momentum.queue=8",
    "objective.prototypes.count=8",
    "objective.relation.start=0.3",
)


class Way(NamedTuple):
    """A trained preset, what was exported of it, and the files that it was made from."""

    run: Path
    artifact: Path
    data: Path
    images: Path | None


def recipe(preset: str, bert: Path, clip: Path, *settings: str) -> TrainingConfig:
    """A preset with small sizes, every part of it active; BERT for its words, CLIP for the sentences."""
    paths = (f"model.text_backbone.path={bert}", f"model.text_global_backbone.path={clip}")
    return load_config(CONFIGS / f"{preset}.toml", [*SMALL, *paths, *settings])


def walk(place: Path, preset: str, config: TrainingConfig, data: Path, images: Path | None) -> Way:
    """Train and export."""
    train(config, place / f"run-{preset}", place / "cache")
    export(place / f"run-{preset}" / BEST, place / f"model-{preset}")
    return Way(place / f"run-{preset}", place / f"model-{preset}", data, images)


def write_karpathy(folder: Path, splits: tuple[str, ...] = ("train", "restval", "val", "test")) -> tuple[Path, Path]:
    """A file with the field names of Karpathy's for COCO, of some splits, and the folder of its images."""
    data, images = folder / "dataset_coco.json", folder / "coco-images"
    ids = [*TRAIN_IDS, *VAL_IDS, *TEST_IDS]
    write_pictures(images, folder / "names.json", ids)
    names = json.loads((folder / "names.json").read_text())
    split_of = ["train", "restval"] * 12 + ["val"] * len(VAL_IDS) + ["test"] * len(TEST_IDS)
    described = [
        _karpathy_image(number, imgid, names[str(number)], split)
        for imgid, (number, split) in enumerate(zip(ids, split_of, strict=True))
        if split in splits
    ]
    data.write_text(json.dumps({"images": described, "dataset": "coco"}))
    return data, images


def _karpathy_image(cocoid: int, imgid: int, name: str, split: str) -> dict[str, object]:
    """An image of one to three sentences."""
    folder, filename = name.split("/")
    sentences = [
        {"tokens": ["the", WORDS[cocoid % 7]], "raw": f"the {WORDS[cocoid % 7]}", "imgid": imgid, "sentid": sentid}
        for sentid in range(3 * imgid, 3 * imgid + 1 + cocoid % 3)
    ]
    return {
        "filepath": folder,
        "sentids": [sentence["sentid"] for sentence in sentences],
        "filename": filename,
        "imgid": imgid,
        "split": split,
        "sentences": sentences,
        "cocoid": cocoid,
    }
