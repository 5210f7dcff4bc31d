"""The descriptions that `semantics.py` compares: of tags, of neighbours, of other images, and a caption of its own."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from places import FLICKR8K

from model.descriptions import Describer, Description, Source, Subject, read_descriptions
from model.descriptions.file import as_lines
from model.descriptions.neighbours import load_neighbours
from model.descriptions.tags import load_tags
from model.nn.backbones import load_sentence_encoder
from model.preprocess import decode_image
from training.data.described import embed_sentences
from training.data.karpathy import load_karpathy
from training.export.tags import write_tags
from training.metrics import retrieval_metrics
from training.neighbours import write_neighbours

TAGS, NEIGHBOURS, SHUFFLED, CAPTION = "tags", "neighbours", "shuffled", "caption"
_DATASET = FLICKR8K / "dataset_flickr8k.json"
_IMAGES = FLICKR8K / "images"


def write_descriptions(runs: Path, cache: Path) -> None:
    """`NAME.jsonl` of each, where they are not there yet."""
    runs.mkdir(parents=True, exist_ok=True)
    if not (runs / f"{TAGS}.jsonl").exists():
        with TemporaryDirectory() as folder:
            write_tags(Path(folder))
            _describe(runs / f"{TAGS}.jsonl", load_tags(Path(folder)))
    if not (runs / f"{NEIGHBOURS}.jsonl").exists():
        write_neighbours(runs / "describer", load_karpathy(_DATASET, _IMAGES, "train"), cache)
        _describe(runs / f"{NEIGHBOURS}.jsonl", load_neighbours(runs / "describer"))
    tags = read_descriptions(runs / f"{TAGS}.jsonl").descriptions
    order = np.random.default_rng(0).permutation(len(tags))
    shuffled = [each.model_copy(update={"text": tags[row].text}) for each, row in zip(tags, order, strict=True)]
    (runs / f"{SHUFFLED}.jsonl").write_text(as_lines(shuffled), encoding="utf-8")
    _write_captions(runs)


def alone(runs: Path, name: str, cache: Path) -> float:
    """rSum on val of the sentence embeddings of descriptions as the only vectors of images."""
    dataset = load_karpathy(_DATASET, _IMAGES, "val")
    of_image = read_descriptions(runs / f"{name}.jsonl").of_image
    sentence = load_sentence_encoder("minilm")
    images = embed_sentences([of_image[path.name] for path in dataset.image_paths], sentence, cache)
    texts = embed_sentences(dataset.captions, sentence, cache)
    return retrieval_metrics(images @ texts.T, dataset.image_of_caption)["rsum"]


def _describe(out: Path, describer: Describer) -> None:
    names = [image["filename"] for image in json.loads(_DATASET.read_bytes())["images"]]

    def text(name: str) -> str:
        (found,) = describer.describe([Subject(name, _opened(name, describer.at_least))])
        assert isinstance(found, str), f"{name}: {found}"
        return found

    out.write_text(as_lines(_lines(names, text, describer.source)), encoding="utf-8")


def _write_captions(runs: Path) -> None:
    """The first caption of each image as its description, and the data set without it: what a perfect describer is."""
    content = json.loads(_DATASET.read_bytes())
    first = {image["filename"]: image["sentences"][0]["raw"] for image in content["images"]}
    source = Source("caption", hashlib.sha256(b"first").hexdigest()[:16])
    (runs / f"{CAPTION}.jsonl").write_text(as_lines(_lines(first, first.__getitem__, source)), encoding="utf-8")
    for image in content["images"]:
        del image["sentences"][0]
    (runs / "without-first-captions.json").write_text(json.dumps(content), encoding="utf-8")


def _lines(names: Iterable[str], text: Callable[[str], str], source: Source) -> Iterable[Description]:
    for name in names:
        digest = hashlib.sha256((_IMAGES / name).read_bytes()).hexdigest()
        yield Description(
            image=name,
            text=text(name),
            image_sha256=digest,
            describer=source.describer,
            prompt_hash=source.prompt_hash,
        )


def _opened(name: str, at_least: int) -> Image.Image:
    return decode_image(_IMAGES / name, at_least=at_least)
