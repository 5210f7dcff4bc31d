"""The trained default: small, complete, and as good on photographs as its model card says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.onnx_session import OUTPUTS, OnnxSession
from model.preprocess import decode_image, prepare_images
from model.runtime import Runtime
from model.tokens import TOKEN_INPUTS, rows_of, token_feeds
from tests.conftest import PROJECT
from training.checkpoint import open_checkpoint
from training.data.karpathy import load_karpathy
from training.evaluate import evaluate
from training.evaluation_data import EvaluationData
from training.export import export
from training.export.variants import write_int8
from training.metrics import retrieval_metrics

CHECKPOINT = PROJECT / "checkpoints" / "mini"
CARD = CHECKPOINT / "README.md"


def card_figures() -> dict[str, float]:
    """The lines `| metric | val | test |` of the model card's table, test figures by metric."""
    lines = re.findall(r"^\| `([^`]+)` \|[^|]*\| ([0-9.]+) \|$", CARD.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {metric: float(value) for metric, value in lines}


def test_the_checkpoint_is_small_and_sound() -> None:
    checkpoint = open_checkpoint(CHECKPOINT)
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) <= 60_000_000
    assert checkpoint.config.name == "mini"
    assert checkpoint.config.model.text_backbone.trainable
    assert checkpoint.config.model.image_backbone.trainable
    assert checkpoint.config.objective.prototypes.enabled
    assert checkpoint.config.objective.relation.enabled
    assert checkpoint.config.objective.momentum.enabled
    starts = (checkpoint.config.objective.prototypes.start, checkpoint.config.objective.relation.start)
    assert max(starts) <= 0.5  # every part was active for at least half of the steps


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("default") / "mini"
    export(CHECKPOINT, directory)
    return directory


@pytest.mark.photographs
def test_the_exported_default_has_the_figures_of_its_card(flickr8k: Path, exported: Path, tmp_path: Path) -> None:
    on = EvaluationData(
        flickr8k / "dataset_flickr8k.json", flickr8k / "images", "test", flickr8k / "expert_judgments.csv"
    )
    found = evaluate(exported, on, tmp_path / "cache")
    expected = card_figures()
    assert set(expected) == set(found)
    for metric, value in expected.items():
        # Rounded in the card; a query in a thousand may fall to the other side of a tie on another processor.
        assert found[metric] == pytest.approx(value, abs=0.6 if metric == "rsum" else 0.3), metric


Floats = NDArray[np.float32]


@pytest.mark.parametrize("eight_bits", [False, True], ids=["fp32", "int8"])
def test_a_text_alone_is_embedded_as_it_is_among_others(exported: Path, tmp_path: Path, eight_bits: bool) -> None:
    """In 8 bits too: each row is quantised by its own range, never by that of its batch."""
    graph = exported / "text.onnx"
    if eight_bits:
        graph = tmp_path / "text.onnx"
        write_int8(exported / "text.onnx", graph)
    texts = ["a", "two dogs run on a beach", "a man in a red shirt " * 8, "a child on a swing", "snow " * 40] * 3
    with Runtime.load(exported, workers=1) as runtime:
        feeds = token_feeds(runtime.tokenizer(texts))
    session = OnnxSession(graph, inputs=TOKEN_INPUTS, dimension=runtime.dimension)
    together = session.run(feeds, OUTPUTS[:1])[0]
    alone = [session.run(rows_of(feeds, np.array([row])), OUTPUTS[:1])[0][0] for row in range(len(texts))]
    assert np.abs(together - np.stack(alone)).max() < 1e-5


def test_an_image_alone_is_embedded_as_it_is_among_others(exported: Path) -> None:
    with Runtime.load(exported, workers=1) as runtime:
        size = runtime.image_preprocessing.size
        pixels = np.random.default_rng(0).normal(size=(4, 3, size, size)).astype(np.float32)
        together = runtime.encode_pixels(pixels)
        alone = np.concatenate([runtime.encode_pixels(pixels[row : row + 1]) for row in range(4)])
    assert np.abs(together - alone).max() < 1e-5


def cells_of(runtime: Runtime, paths: tuple[Path, ...]) -> Floats:
    """L2-normalised V of images, [N, R, D]."""
    preprocessing = runtime.preprocessing.image
    assert preprocessing is not None
    parts = [
        runtime.pixels_local(prepare_images([decode_image(path) for path in paths[start : start + 50]], preprocessing))
        for start in range(0, len(paths), 50)
    ]
    return _unit(np.concatenate([part.local_features for part in parts]))


def words_of(runtime: Runtime, captions: tuple[str, ...]) -> tuple[Floats, NDArray[np.int64]]:
    """L2-normalised V of all words one after the other [sum of lengths, D], and the place of each caption's first."""
    tokens = runtime.tokenizer(captions)
    valid = tokens.attention_mask > 0
    starts = np.cumsum([0, *valid.sum(axis=1)[:-1]])
    return _unit(runtime.tokens_local(tokens).local_features[valid]), starts


def _unit(features: Floats) -> Floats:
    unit: Floats = features / np.linalg.norm(features, axis=-1, keepdims=True)
    return unit


def late_interaction(cells: Floats, words: Floats, starts: NDArray[np.int64]) -> Floats:
    """Mean over the words of their best cosine with a cell, plus the same of the cells: [N, M]."""
    lengths = torch.from_numpy(np.diff(starts, append=len(words)))
    all_words = torch.from_numpy(words)
    parts = []
    for image in torch.from_numpy(cells):  # [R, D]
        cosines = all_words @ image.T  # [sum of lengths, R]
        of_words = torch.segment_reduce(cosines.amax(dim=1), "mean", lengths=lengths)
        parts.append(of_words + torch.segment_reduce(cosines, "max", lengths=lengths).mean(dim=1))
    return torch.stack(parts).numpy()


@pytest.mark.photographs
def test_the_local_features_of_the_default_find_by_late_interaction(flickr8k: Path, exported: Path) -> None:
    """What is exported lies in the joint space: with V' in place of V all of val finds 38, with V 292.

    The first quarter of val is a sixteenth of the work.
    """
    dataset = load_karpathy(flickr8k / "dataset_flickr8k.json", flickr8k / "images", "val").subset(np.arange(250))
    with Runtime.load(exported) as runtime:
        cells, words = cells_of(runtime, dataset.image_paths), words_of(runtime, dataset.captions)
    found = retrieval_metrics(late_interaction(cells, *words), dataset.image_of_caption)
    assert found["rsum"] >= 250
