"""Whoever computes on a GPU moves backbones, network and batches there. "meta" stands for a GPU: it is not the CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.nn.aahr import TokenBatch
from model.nn.features import LocalFeatures
from model.nn.image_encoder import CellReduction
from model.preprocess import TextTokenizer
from tests.toy import toy_config, toy_dataset
from tests.unit.training.data.backbones import ColourGrid, WordVectors
from training import average, evaluate, train
from training.config import TrainingConfig
from training.data import scan
from training.data.features import image_feature_table, text_feature_table
from training.data.sources import reduced_table
from training.data.table import FeatureTable
from training.device import default_device, device_of, move
from training.distributed import Group
from training.embed import embed_images, embed_texts
from training.network import CPU, Backbones, build_network, load_backbones

META = torch.device("meta")


class GpuWords(WordVectors):
    """Refuses inputs that are elsewhere than its vectors; what it returns is on the CPU, where values are."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> LocalFeatures:
        assert input_ids.device == attention_mask.device == self.vectors.device == META
        mask = torch.ones(input_ids.shape, dtype=torch.bool)
        return LocalFeatures(torch.ones(*input_ids.shape, 6), mask, torch.ones(len(input_ids), 6))


class GpuColours(ColourGrid):
    """As `GpuWords`, for pixels."""

    def forward(self, pixels: Tensor) -> LocalFeatures:
        assert pixels.device == self.gain.device == META
        return LocalFeatures(
            torch.ones(len(pixels), 4, 3), torch.ones(len(pixels), 4).bool(), torch.ones(len(pixels), 3)
        )


class GpuReduction(CellReduction):
    """As `GpuWords`, for cells."""

    def forward(self, features: Tensor) -> Tensor:
        assert features.device == device_of(self) == META
        return torch.ones(*features.shape[:2], self.basis.shape[1])


def test_without_a_gpu_it_is_the_cpu_and_with_one_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_device() == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert default_device() == torch.device("cuda", 3)


def test_a_module_is_where_its_tensors_are() -> None:
    assert device_of(nn.Linear(2, 2).to(META)) == META
    assert device_of(nn.Dropout()) == torch.device("cpu")
    moved = move(TokenBatch(torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 3)), META)
    assert isinstance(moved, TokenBatch)
    assert {tensor.device for tensor in moved if tensor is not None} == {META}
    assert moved.global_features is not None
    assert move(TokenBatch(torch.ones(1, 2), torch.ones(1, 2)), META).global_features is None


def test_backbones_and_their_network_go_to_the_device_together() -> None:
    backbones = load_backbones(toy_config(), META)
    assert backbones.device == META
    network = build_network(toy_config(), backbones)
    tensors = [*network.state_dict().values(), *backbones.image.state_dict().values()]
    assert {tensor.device for tensor in tensors} == {META}


def test_features_are_extracted_where_the_backbone_is(
    tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: ONNX Runtime is for the CPU."""
    monkeypatch.setattr("training.data.extraction.WORTH_AN_EXPORT", 1)
    words = GpuWords(tmp_path)
    tokenizer = TextTokenizer(words.tokenizer_file, words.preprocessing.max_length)
    words.to(META)
    assert len(text_feature_table(words, tokenizer, ["a dog", "a cat runs"], tmp_path, progress=False)) == 2
    colours = GpuColours()
    colours.to(META)
    assert len(image_feature_table(colours, images, tmp_path, progress=False)) == 10


def test_cells_are_reduced_where_the_network_is() -> None:
    cells = FeatureTable.of_regions(np.ones((5, 4, 6), np.float32), np.arange(5), np.ones((5, 6), np.float32))
    reduction = GpuReduction(6, 2, None)
    reduction.to(META)
    assert reduced_table(cells, reduction).local_dimension == 2


class Recorder(nn.Module):
    """A network that notes where what it encodes is, and returns nothing to be kept."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device=META))
        self.seen: list[torch.device] = []

    def encode(self, item: LocalFeatures | TokenBatch, semantics: torch.Tensor | None) -> LocalFeatures:
        self.seen += [tensor.device for tensor in (*item, semantics) if tensor is not None]
        raise KeyboardInterrupt

    encode_images = encode_texts = encode


def test_a_split_is_embedded_where_the_network_is() -> None:
    dataset, collate = toy_dataset()
    network = Recorder()
    semantics = np.zeros((len(dataset), 4), np.float32)
    with pytest.raises(KeyboardInterrupt):
        embed_images(network, collate.views[0], len(dataset), semantics)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        embed_texts(network, collate.texts, 8, semantics)  # type: ignore[arg-type]
    assert set(network.seen) == {META}
    assert len(network.seen) == 8


class Stopped(Exception):
    """Carries the device that was reached."""


def stop_at(_: TrainingConfig, device: torch.device = CPU) -> Backbones:
    raise Stopped(device)


@contextmanager
def one_process() -> Iterator[tuple[Group, torch.device]]:
    yield Group(), META


def test_train_evaluate_and_average_load_their_backbones_onto_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manifest.json").touch()
    for module in (evaluate, average):
        monkeypatch.setattr(module, "default_device", lambda: META)
        monkeypatch.setattr(module, "open_checkpoint", lambda _: SimpleNamespace(config=toy_config()))
    monkeypatch.setattr(average, "_refuse_different", lambda *_: None)
    monkeypatch.setattr(train, "process_group", one_process)
    calls: dict[Any, Callable[[], object]] = {
        evaluate: lambda: evaluate.open_embedder(tmp_path, tmp_path),
        average: lambda: average.average(tmp_path, tmp_path, tmp_path / "out", shares=[0.5], cache=tmp_path),
        train: lambda: train.train(toy_config(), tmp_path / "run", tmp_path / "cache"),
    }
    for module, call in calls.items():
        monkeypatch.setattr(module, "load_backbones", stop_at)
        with pytest.raises(Stopped) as reached:
            call()
        assert reached.value.args == (META,), module.__name__


def test_clip_sees_the_images_of_regions_on_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = GpuColours()
    backbone.global_dimension = 512
    monkeypatch.setattr(scan, "default_device", lambda: META)
    monkeypatch.setattr(scan, "load_image_backbone", lambda *_: backbone)
    monkeypatch.setattr(scan, "image_feature_table", lambda given, *_: SimpleNamespace(global_features=given.gain))
    assert scan.clip_features([], tmp_path, tmp_path).device == META
