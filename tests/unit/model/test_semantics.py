"""A model that fuses semantics: descriptions move images, texts bring their own, none is the missing one."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.artifact import SEMANTIC_FILES, SemanticsReference, load_model_artifact
from model.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput, UnsupportedQuery
from model.runtime import Runtime
from tests.artifacts import COLOURS, MISSING_LENGTH, rewrite_manifest, write_colour_model

DESCRIBED = SemanticsReference(describer="tags", prompt_hash="0" * 16, sentence_encoder="colour-words")
DIMENSION = 16


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    directory = tmp_path_factory.mktemp("described")
    with Runtime.load(write_colour_model(directory, dimension=DIMENSION, semantics=DESCRIBED), workers=3) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with Runtime.load(write_colour_model(tmp_path_factory.mktemp("plain"), dimension=DIMENSION)) as runtime:
        yield runtime


def images(*colours: str) -> list[Image.Image]:
    return [Image.new("RGB", (30, 20), colour) for colour in colours]


def unit(vectors: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_images_are_fused_with_their_descriptions_and_texts_with_themselves(runtime: Runtime, plain: Runtime) -> None:
    described = runtime.encode_images(images("red", "blue", "green"), ["a blue dog", None, "red"])
    words = plain.encode_texts(["a blue dog", "red"])
    missing = MISSING_LENGTH * unit(runtime.sentences.missing)  # type: ignore[union-attr]
    semantics = np.stack([words[0], missing, words[1]])
    np.testing.assert_allclose(
        described, unit(plain.encode_images(images("red", "blue", "green")) + semantics), atol=1e-6
    )
    texts = ["a red square", "the picture of a dog on the beach"]
    np.testing.assert_allclose(runtime.encode_texts(texts), plain.encode_texts(texts), atol=1e-6)  # norm(2 t) = t


def test_what_is_not_described_is_the_missing_description(runtime: Runtime) -> None:
    colours = images(*COLOURS[:5])
    nothing = runtime.encode_images(colours)
    for descriptions in ([None] * 5, [""] * 5, [" \n"] * 5):
        np.testing.assert_array_equal(runtime.encode_images(colours, descriptions), nothing)
    preprocessing = runtime.image_preprocessing
    assert preprocessing is not None
    assert not np.allclose(runtime.encode_images(colours, ["red"] * 5), nothing)


@pytest.mark.parametrize("count", [0, 1, 2, 17, 40])
def test_many_descriptions_equal_each_one_alone(runtime: Runtime, count: int) -> None:
    colours = [COLOURS[at % len(COLOURS)] for at in range(count)]
    descriptions = [None if at % 7 == 3 else f"{colour} " + "dog " * (at % 9) for at, colour in enumerate(colours)]
    together = runtime.encode_images(images(*colours), descriptions)
    assert together.shape == (count, DIMENSION)
    for at, colour in enumerate(colours):
        alone = runtime.encode_images(images(colour), descriptions[at : at + 1])
        np.testing.assert_allclose(together[at], alone[0], atol=1e-6)


def test_tokens_bring_those_of_the_sentence(runtime: Runtime) -> None:
    tokens = runtime.tokenizer(["red", "a green dog on the beach"])
    assert tokens.sentence_tokens is not None
    local = runtime.tokens_local(tokens)
    np.testing.assert_allclose(local.embedding, runtime.encode_tokens(tokens), atol=1e-6)
    with pytest.raises(InvalidInput, match="sentence_input_ids"):
        runtime.encode_tokens(tokens._replace(sentence_tokens=None))
    swapped = runtime.tokenizer(["blue", "red"]).sentence_tokens
    assert not np.allclose(runtime.encode_tokens(tokens._replace(sentence_tokens=swapped)), local.embedding)


def test_descriptions_for_a_model_that_fuses_none_are_refused(plain: Runtime, runtime: Runtime) -> None:
    assert (plain.fuses_semantics, runtime.fuses_semantics) == (False, True)
    with pytest.raises(UnsupportedQuery, match="the model colours fuses no semantics"):
        plain.encode_images(images("red"), ["red"])
    pixels = np.zeros((1, 3, 8, 8), np.float32)
    with pytest.raises(UnsupportedQuery, match="fuses no semantics"):
        plain.encode_pixels(pixels, np.zeros((1, DIMENSION), np.float32))


@pytest.mark.parametrize("rows", [0, 2])
def test_another_number_of_descriptions_than_of_images_is_refused(runtime: Runtime, rows: int) -> None:
    with pytest.raises(InvalidInput, match=f"there are {rows} descriptions for 1 images"):
        runtime.encode_pixels(np.zeros((1, 3, 8, 8), np.float32), np.zeros((rows, DIMENSION), np.float32))


def test_semantics_that_are_not_finite_are_refused(runtime: Runtime) -> None:
    with pytest.raises(InvalidInput, match="semantics has values that are not finite"):
        runtime.encode_pixels(np.zeros((1, 3, 8, 8), np.float32), np.full((1, DIMENSION), np.nan, np.float32))


def test_the_manifest_names_who_described_and_what_embeds(runtime: Runtime) -> None:
    assert runtime.artifact.manifest.semantics == DESCRIBED
    assert set(SEMANTIC_FILES) < set(runtime.artifact.manifest.files)


@pytest.mark.parametrize("name", SEMANTIC_FILES)
def test_a_model_without_one_of_its_files_is_refused(tmp_path: Path, name: str) -> None:
    artifact = write_colour_model(tmp_path / "model", semantics=DESCRIBED)
    (artifact.directory / name).unlink()
    with pytest.raises(ArtifactMissing, match=name):
        load_model_artifact(artifact.directory)
    with pytest.raises(ArtifactMissing, match=name):
        rewrite_manifest(artifact)


def test_a_missing_description_of_another_dimension_is_refused(tmp_path: Path) -> None:
    artifact = write_colour_model(tmp_path / "model", semantics=DESCRIBED)
    (artifact.directory / "semantics.json").write_text('{"max_length": 16, "missing": [0.5]}')
    rewrite_manifest(artifact)
    with pytest.raises(ArtifactCorrupt, match="missing description of dimension 1, the model has 16"):
        load_model_artifact(artifact.directory)
