"""The exported describer: equal to torch, equal at every export, and fit to name what a scene shows."""

import re
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
from model.preprocess import decode_image, prepare_images
from training.data.karpathy import load_karpathy
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


@pytest.mark.parametrize(
    ("place", "said"),
    [("meadow", "on the grass"), ("snow", "in the snow"), ("sea", "in the water"), ("desert", "on the sand")],
)
def test_drawn_scenes_are_described_in_their_colours(describer: TagsDescriber, place: str, said: str) -> None:
    scenes = make_scenes(300, seed=0)
    scene = next(each for each in scenes if (each.facts.place, each.facts.time) == (place, "day"))
    (found,) = describer.describe([Subject(scene.filename, draw_scene(scene.facts, scene.stage, Random(0)))])
    assert isinstance(found, str)
    assert said in found
    assert "under a blue sky" in found


@pytest.mark.photographs
def test_dogs_on_photographs_are_dogs(describer: TagsDescriber, flickr8k: Path) -> None:
    dataset = load_karpathy(flickr8k / "dataset_flickr8k.json", flickr8k / "images", "val")
    about_dogs = np.array([re.search(r"\bdogs?\b", caption.lower()) is not None for caption in dataset.captions])
    share = np.bincount(dataset.image_of_caption, about_dogs) / np.bincount(dataset.image_of_caption)
    for rows, low, high in ((np.flatnonzero(share == 1)[:25], 0.8, 1.0), (np.flatnonzero(share == 0)[:25], 0.0, 0.1)):
        images = [decode_image(dataset.image_paths[row], at_least=describer.at_least) for row in rows]
        found = describer.describe([Subject("photograph", image) for image in images])
        dogs = [isinstance(text, str) and re.match(r"An? [a-z ]*dog\b", text) is not None for text in found]
        assert low <= np.mean(dogs) <= high
