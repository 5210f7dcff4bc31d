"""The exported describer: equal to torch, equal at every export, and fit to name what a scene shows."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from model.descriptions import Subject
from model.descriptions.tags import TAGS_FILE, TAGS_GRAPH, TagsDescriber, load_tags
from model.descriptions.tags.classifier import TagClassifier
from model.errors import TrainingError
from model.nn.backbones.efficientnet_head import load_imagenet_classifier
from model.preprocess import prepare_images
from training.export.parity import draw_examples
from training.export.tags import MAX_DIFFERENCE, largest_difference, write_tags
from training.scenes import make_scenes
from training.scenes.drawing import draw_scene


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tags")
    assert write_tags(directory) <= MAX_DIFFERENCE
    return directory


@pytest.fixture(scope="module")
def describer(directory: Path) -> TagsDescriber:
    return load_tags(directory)


def test_the_graph_is_torch_with_its_own_head(directory: Path) -> None:
    network = load_imagenet_classifier()
    pixels = prepare_images(draw_examples(3)[0], network.preprocessing)
    with torch.inference_mode():
        grid = network.network.extract_features(torch.from_numpy(pixels))
        expected = network.network._fc(grid.flatten(2).mean(2)).softmax(1).numpy()
    found = TagClassifier(directory / TAGS_GRAPH, classes=1000, temperature=1.0).probabilities(pixels)
    assert np.abs(found - expected).max() < 1e-5


def test_two_exports_are_equal_to_the_byte(directory: Path, tmp_path: Path) -> None:
    write_tags(tmp_path)
    for name in (TAGS_GRAPH, TAGS_FILE):
        assert (tmp_path / name).read_bytes() == (directory / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [TAGS_FILE, TAGS_GRAPH]


def test_a_graph_that_differs_from_torch_is_refused_with_the_figure(directory: Path) -> None:
    network = load_imagenet_classifier()
    network.network._fc.bias.data += 0.5
    with pytest.raises(TrainingError, match=r"tags\.onnx differs from torch by 0\.50"):
        largest_difference(directory / TAGS_GRAPH, network, draw_examples(2)[0])


def test_drawn_scenes_are_described_in_their_colours(describer: TagsDescriber) -> None:
    scenes = make_scenes(40, seed=0)
    chosen = {place: next(each for each in scenes if each.facts.place == place) for place in ("meadow", "sea", "snow")}
    images = [draw_scene(each.facts, each.stage, Random(0)) for each in chosen.values()]
    meadow, sea, snow = describer.describe([Subject("scene", image) for image in images])
    assert isinstance(meadow, str)
    assert "on the grass" in meadow
    assert isinstance(sea, str)
    assert "in the water" in sea or "blue" in sea
    assert isinstance(snow, str)
    assert "in the snow" in snow
