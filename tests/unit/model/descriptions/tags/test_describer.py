"""Images to sentences: the same words every time, in any batch, from pixels as from images; broken files are named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from model.descriptions import Describer, Subject
from model.descriptions.tags import TAGS_FILE, TAGS_GRAPH, load_tags
from model.descriptions.tags.describer import to_rgb
from model.errors import ArtifactCorrupt, ArtifactError, ArtifactMismatch, ArtifactMissing
from model.preprocess import prepare_images
from tests.tagging import write_tagging, write_tagging_graph
from training.scenes.vocabulary import COLOURS


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_tagging(tmp_path)


def subjects() -> list[Subject]:
    return [Subject(name, Image.new("RGB", (60, 40), COLOURS[name])) for name in ("red", "green", "blue")]


def test_it_is_a_describer(directory: Path) -> None:
    describer: Describer = load_tags(directory)
    assert describer.source.describer == "tags"
    assert len(describer.source.prompt_hash) == 16
    assert describer.at_least == 12


def test_images_are_told_apart_in_words(directory: Path) -> None:
    red, green, blue = load_tags(directory).describe(subjects())
    assert red == "A fire truck on the street, in red. Firefighters."
    assert green == "A green frog, a tree frog, on the grass, in green."
    assert blue == "A scuba diver under water under a blue sky. A scuba diver."


def test_a_batch_is_one_by_one_and_twice_is_the_same(directory: Path) -> None:
    describer = load_tags(directory)
    together = describer.describe(subjects())
    assert [describer.describe([subject])[0] for subject in subjects()] == together
    assert load_tags(directory).describe(subjects()) == together
    assert describer.describe([]) == []


def test_prepared_pixels_get_the_words_of_their_images(directory: Path) -> None:
    describer = load_tags(directory)
    pixels = prepare_images([subject.image for subject in subjects()], describer.preprocessing)
    assert describer.describe_pixels(pixels) == describer.describe(subjects())


def test_captions_are_not_looked_at(directory: Path) -> None:
    describer = load_tags(directory)
    (subject, *_) = subjects()
    with_caption = Subject(subject.name, subject.image, "three elephants")
    assert describer.describe([with_caption]) == describer.describe([subject])


def change(directory: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((directory / TAGS_FILE).read_text())
    edit(content)
    (directory / TAGS_FILE).write_text(json.dumps(content))


@pytest.mark.parametrize(
    "edit",
    [
        lambda tags: tags.update(weights="1" * 64),
        lambda tags: tags["wording"].update(temperature=3.0),
        lambda tags: tags["classes"][0].update(kind="a truck"),
        lambda tags: tags["preprocessing"].update(interpolation="bilinear"),
    ],
)
def test_whatever_the_words_follow_from_changes_the_source(
    directory: Path, edit: Callable[[dict[str, Any]], None]
) -> None:
    before = load_tags(directory).source
    assert load_tags(directory).source == before
    change(directory, edit)
    assert load_tags(directory).source.prompt_hash != before.prompt_hash


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda tags: tags.update(grammar=99), ArtifactMismatch, r"tags\.json was written for grammar 99"),
        (lambda tags: tags.pop("weights"), ArtifactCorrupt, r"tags\.json does not belong to a tags describer.*weights"),
        (lambda tags: tags["classes"][1].pop("kind"), ArtifactCorrupt, r"tags\.json .* classes\.1\.kind"),
        (lambda tags: tags["classes"].pop(), ArtifactCorrupt, r"returns logits of dimension 3, .* 2"),
        (lambda tags: tags["preprocessing"].update(size=16), ArtifactCorrupt, r"tags\.json does not fit its graph"),
    ],
)
def test_a_broken_file_is_named(
    directory: Path, edit: Callable[[dict[str, Any]], None], error: type[ArtifactError], message: str
) -> None:
    change(directory, edit)
    with pytest.raises(error, match=message) as caught:
        load_tags(directory)
    assert str(directory) not in str(caught.value)


def test_a_missing_file_is_named(directory: Path) -> None:
    (directory / TAGS_GRAPH).unlink()
    with pytest.raises(ArtifactMissing, match=r"tags\.onnx is not there"):
        load_tags(directory)
    write_tagging_graph(directory / TAGS_GRAPH)
    (directory / TAGS_FILE).unlink()
    with pytest.raises(ArtifactMissing, match=r"tags\.json cannot be read"):
        load_tags(directory)
    (directory / TAGS_FILE).write_text("{")
    with pytest.raises(ArtifactCorrupt, match=r"tags\.json does not belong to"):
        load_tags(directory)


def test_pixels_keep_their_colours_to_the_bit(directory: Path) -> None:
    describer = load_tags(directory)
    ramp = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)
    (pixels,) = prepare_images([Image.fromarray(ramp)], describer.preprocessing)
    assert (to_rgb(pixels, describer.preprocessing) == ramp).all()
