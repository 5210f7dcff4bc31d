"""The tagging graph: probabilities, the same for an image whatever stands beside it, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from model.descriptions.tags.classifier import TagClassifier
from model.errors import ArtifactCorrupt, InvalidInput
from tests.tagging import SIZE, write_tagging_graph


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    write_tagging_graph(tmp_path / "tags.onnx")
    return tmp_path / "tags.onnx"


def test_probabilities_follow_the_logits_and_the_temperature(graph: Path) -> None:
    pixels = np.zeros((1, 3, SIZE, SIZE), np.float32)
    pixels[:, 1] = 0.05  # a logit of 2
    for temperature in (1.0, 2.0):
        (row,) = TagClassifier(graph, classes=3, temperature=temperature).probabilities(pixels)
        expected = np.exp(np.array([0, 2, 0]) / temperature)
        assert row == pytest.approx(expected / expected.sum(), rel=1e-5)


def test_a_batch_is_each_image_alone(graph: Path) -> None:
    classifier = TagClassifier(graph, classes=3, temperature=1.0)
    pixels = np.random.default_rng(0).normal(size=(5, 3, SIZE, SIZE)).astype(np.float32)
    alone = [classifier.probabilities(pixels[row : row + 1])[0] for row in range(5)]
    assert (classifier.probabilities(pixels) == np.stack(alone)).all()
    assert classifier.probabilities(pixels[:0]).shape == (0, 3)


def test_another_number_of_classes_is_refused_with_both(graph: Path) -> None:
    classifier = TagClassifier(graph, classes=4, temperature=1.0)
    with pytest.raises(ArtifactCorrupt, match=r"tags\.onnx returns logits of dimension 3, .* 4"):
        classifier.probabilities(np.zeros((1, 3, SIZE, SIZE), np.float32))


def test_a_graph_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_tagging_graph(tmp_path / "tags.onnx", name="embedding")
    with pytest.raises(ArtifactCorrupt, match=r"has the outputs \['embedding'\], expected \['logits'\]"):
        TagClassifier(tmp_path / "tags.onnx", classes=3, temperature=1.0)


@pytest.mark.parametrize("pixels", [np.zeros((1, 3, 4, 4), np.float32), np.zeros((3, SIZE, SIZE), np.float32)])
def test_pixels_of_another_shape_are_refused(graph: Path, pixels: np.ndarray) -> None:
    classifier = TagClassifier(graph, classes=3, temperature=1.0)
    with pytest.raises(InvalidInput, match=r"pixels is float32 .*tags\.onnx takes"):
        classifier.probabilities(pixels)


def test_pixels_that_are_not_finite_are_refused_and_the_next_are_not(graph: Path) -> None:
    classifier = TagClassifier(graph, classes=3, temperature=1.0)
    pixels = np.zeros((2, 3, SIZE, SIZE), np.float32)
    pixels[1, 0, 0, 0] = np.nan
    with pytest.raises(InvalidInput, match="pixels has values that are not finite"):
        classifier.probabilities(pixels)
    assert np.isfinite(classifier.probabilities(pixels[:1])).all()
