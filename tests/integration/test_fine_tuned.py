"""The default trains parts of its backbones: what was trained is in the checkpoint, and in what it exports."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from tests.recipes import scenes_recipe
from training.checkpoint import load_network, open_checkpoint
from training.config import TrainingConfig
from training.evaluate import open_embedder
from training.export import export
from training.network import load_backbones
from training.train import BEST, train

SCENES = 48
QUERIES = ["a red ball on a table", "two white birds by the sea"]


def small_recipe() -> TrainingConfig:
    """Two steps of half of the default on a few scenes, with momentum, prototypes and soft positives active."""
    settings = ("epochs=2", "precision=fp32", "model.image_backbone.trainable_blocks=1", "batch.captions_per_image=1")
    return scenes_recipe("mini-soft", SCENES, *settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("fine-tuned")
    train(small_recipe(), directory / "run", directory / "cache")
    return directory


def test_the_checkpoint_holds_what_was_trained_and_no_more(run: Path) -> None:
    stored = load_file(run / "run" / BEST / "model.safetensors")
    checkpoint = open_checkpoint(run / "run" / BEST)
    pretrained = load_backbones(checkpoint.config)
    network = load_network(checkpoint, load_backbones(checkpoint.config))
    assert set(stored) == set(network.state_dict()) - network.pretrained
    assert network.text_backbone is not None
    assert network.image_tail is not None
    assert pretrained.image_tail is not None
    before, after = pretrained.text.state_dict(), network.text_backbone.state_dict()
    words = "network.embeddings.word_embeddings.weight"
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert words not in moved
    assert "network.encoder.layer.0.attention.self.query.weight" in moved
    tail_before, tail_after = pretrained.image_tail.state_dict(), network.image_tail.state_dict()
    tail_moved = {name for name in tail_before if not torch.equal(tail_before[name], tail_after[name])}
    assert len(tail_moved) >= 5
    assert not any("running" in name for name in tail_moved)


def test_the_exported_model_is_the_trained_one(run: Path) -> None:
    export(run / "run" / BEST, run / "model")
    for graph in ("image.onnx", "text.onnx"):  # notes of the tracing hold addresses: no two exports would be equal
        assert not any(node.metadata_props for node in onnx.load(run / "model" / graph).graph.node)
    images = sorted((run / "cache" / "scenes").glob(f"{SCENES}-0-*/images/*"))[:3]
    checkpoint = open_embedder(run / "run" / BEST, run / "cache")
    exported = open_embedder(run / "model", run / "cache")
    np.testing.assert_allclose(exported.texts(QUERIES), checkpoint.texts(QUERIES), atol=1e-4)
    # Cached features of the frozen blocks are in half precision.
    np.testing.assert_allclose(exported.images(images), checkpoint.images(images), atol=5e-3)
