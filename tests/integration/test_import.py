"""CLIP and SigLIP of random weights: imported, equal to `transformers`, indexed, searched, evaluated and explained."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel, SiglipImageProcessorPil, SiglipModel

import cli
from index.collection import SearchOptions
from index.items import Modality
from model.artifact import load_model_artifact
from model.errors import ArtifactMissing, ConfigError
from model.explanations import word_maps
from model.preprocess import prepare_images
from model.runtime import Runtime
from tests.galleries import open_index, rebuild_index
from tests.presets import recipe, write_karpathy
from tests.tiny_transformers import SIGLIP_LENGTH, write_bert, write_clip, write_siglip
from training.about import describe_evaluation
from training.checkpoint import Progress, save_checkpoint
from training.comparison import compare
from training.evaluate import evaluate
from training.evaluation_data import EvaluationData
from training.importing import import_model
from training.importing.files import open_model_directory
from training.importing.towers import load_towers
from training.network import build_network, load_backbones

CAPTIONS = ["a red dog runs on the grass", "the cat", "the cat sleeps on the green grass", "photo"]
KINDS = ("clip", "siglip")


class Imported(NamedTuple):
    """A tiny model as `transformers` has it, and as it was imported."""

    kind: str
    source: Path
    artifact: Path
    network: Any
    runtime: Runtime


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("import")


@pytest.fixture(scope="module", params=KINDS)
def imported(request: pytest.FixtureRequest, place: Path) -> Iterator[Imported]:
    kind = request.param
    artifact = request.getfixturevalue(f"{kind}_artifact")
    network: Any = (CLIPModel if kind == "clip" else SiglipModel).from_pretrained(place / kind)
    with Runtime.load(artifact, workers=1) as runtime:
        yield Imported(kind, place / kind, artifact, network.eval(), runtime)


@pytest.fixture(scope="module")
def clip_artifact(place: Path) -> Path:
    import_model(write_clip(place / "clip"), place / "model-clip")
    return place / "model-clip"


@pytest.fixture(scope="module")
def siglip_artifact(place: Path) -> Path:
    import_model(write_siglip(place / "siglip"), place / "model-siglip")
    return place / "model-siglip"


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    """Smooth images of several shapes, larger and smaller than the models take."""
    generator = np.random.default_rng(0)
    sizes = [(32, 32), (50, 40), (40, 61), (20, 24)]
    noise = [generator.integers(0, 256, (5, 5, 3), np.uint8) for _ in sizes]
    return [
        Image.fromarray(array).resize(size, Image.Resampling.BICUBIC) for array, size in zip(noise, sizes, strict=True)
    ]


@pytest.fixture(scope="module")
def data(place: Path) -> tuple[Path, Path]:
    """A file of captions and the folder of its images."""
    folder = place / "data"
    folder.mkdir()
    return write_karpathy(folder)


def their_pixels(imported: Imported, images: list[Image.Image]) -> NDArray[np.float32]:
    kind = CLIPImageProcessorPil if imported.kind == "clip" else SiglipImageProcessorPil
    processor: Any = kind.from_pretrained(imported.source)
    pixels: NDArray[np.float32] = np.stack(processor(images)["pixel_values"])
    return pixels


def their_tokens(imported: Imported) -> dict[str, torch.Tensor]:
    """As the model's own processor makes them: SigLIP's padded to one length and without a mask."""
    tokenizer: Any = AutoTokenizer.from_pretrained(imported.source)
    if imported.kind == "clip":
        return dict(tokenizer(CAPTIONS, padding=True, return_tensors="pt", return_token_type_ids=False))
    padded = tokenizer(CAPTIONS, padding="max_length", max_length=SIGLIP_LENGTH, return_tensors="pt")
    return {"input_ids": padded["input_ids"]}


def normalised(features: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = (features / features.norm(dim=-1, keepdim=True)).numpy()
    return array


def test_pixels_are_those_of_their_processor(imported: Imported, images: list[Image.Image]) -> None:
    ours = prepare_images(images, imported.runtime.image_preprocessing)
    np.testing.assert_allclose(ours, their_pixels(imported, images), atol=1e-5)


def test_embeddings_are_theirs(imported: Imported, images: list[Image.Image]) -> None:
    pixels = their_pixels(imported, images)
    with torch.inference_mode():
        of_images = imported.network.get_image_features(pixel_values=torch.from_numpy(pixels)).pooler_output
        of_texts = imported.network.get_text_features(**their_tokens(imported)).pooler_output
    np.testing.assert_allclose(imported.runtime.encode_pixels(pixels), normalised(of_images), atol=1e-5)
    np.testing.assert_allclose(imported.runtime.encode_texts(CAPTIONS), normalised(of_texts), atol=1e-5)


def test_a_text_is_embedded_alike_alone_and_in_a_batch(imported: Imported) -> None:
    together = imported.runtime.encode_texts(CAPTIONS)
    alone = np.concatenate([imported.runtime.encode_texts([caption]) for caption in CAPTIONS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert (alone @ alone.T)[0, 1] < 0.9999, "different texts have different embeddings"


def test_local_features_lie_in_the_joint_space(imported: Imported, images: list[Image.Image]) -> None:
    pixels = their_pixels(imported, images)
    of_images, network = imported.runtime.pixels_local(pixels), imported.network
    tokens = imported.runtime.tokenizer(CAPTIONS)
    of_texts = imported.runtime.tokens_local(tokens)
    with torch.inference_mode():
        seen = network.vision_model(pixel_values=torch.from_numpy(pixels)).last_hidden_state
        if imported.kind == "clip":
            expected = network.visual_projection(network.vision_model.post_layernorm(seen[:, 1:]))
        else:  # what the head returns for each patch as if there were no other
            expected = torch.stack([network.vision_model.head(seen[:, cell : cell + 1]) for cell in range(16)], dim=1)
    assert of_images.local_features.shape == (len(images), 16, imported.runtime.dimension)
    np.testing.assert_allclose(of_images.local_features, expected.numpy(), atol=1e-4)
    np.testing.assert_allclose(of_images.local_embedding, of_images.local_features.mean(axis=1), atol=1e-5)
    if imported.kind == "clip":  # the state at the end of the text is the one that is pooled
        for row, length in enumerate(tokens.attention_mask.sum(axis=1)):
            end = torch.from_numpy(of_texts.local_features[row, length - 1])
            np.testing.assert_allclose(normalised(end), of_texts.embedding[row], atol=1e-5)


def test_words_are_mapped_to_cells(imported: Imported, images: list[Image.Image]) -> None:
    maps = word_maps(imported.runtime, "a red dog", images[1])
    assert [word.start for word in maps.words] == [0, 2, 6]
    assert maps.cosines.shape == (3, 4, 4)


def test_the_manifest_says_what_was_imported(imported: Imported) -> None:
    manifest = load_model_artifact(imported.artifact).manifest
    assert manifest.checkpoint is None
    assert manifest.imported is not None
    assert (manifest.imported.model_type, manifest.name) == (imported.kind, imported.kind)
    assert len(manifest.imported.weights_sha256) == 64


def test_an_imported_model_is_indexed_searched_and_evaluated(imported: Imported, data: tuple[Path, Path]) -> None:
    captions, folder = data
    index = imported.artifact.with_name(f"index-{imported.kind}")
    rebuild_index(imported.artifact, folder, index, captions)
    collection = open_index(index)
    (hits,) = collection.search(imported.runtime.encode_texts(CAPTIONS[:1]), Modality.IMAGE, SearchOptions(limit=3))
    assert collection.model_directory == imported.artifact
    assert len(hits) == 3
    assert hits[0].score >= hits[1].score >= hits[2].score

    on = EvaluationData(captions, folder, "test")
    assert 0 < evaluate(imported.artifact, on, index.with_name("cache"))["rsum"] <= 600
    about = describe_evaluation(imported.artifact, on)
    assert (about.domain, about.trained_on) == ("unknown", ())


def test_a_head_trained_on_clip_is_compared_with_the_clip_alone(
    place: Path, clip_artifact: Path, data: tuple[Path, Path]
) -> None:
    clip, captions, folder = place / "clip", *data
    places = (f"data.photographs.captions={captions}", f"data.photographs.images={folder}")
    config = recipe("clip", write_bert(place / "bert"), clip, f"model.image_backbone.path={clip}", *places)
    backbones = load_backbones(config)
    torch.manual_seed(0)
    network = build_network(config, backbones)
    save_checkpoint(place / "heads", config=config, backbones=backbones, network=network, progress=Progress(1, 1, {}))

    on, cache = EvaluationData(captions, folder, "test"), place / "cache"
    found = compare(place / "heads", clip_artifact, on, cache)
    assert found.against == evaluate(clip_artifact, on, cache)
    assert found.differences["rsum"].mean == pytest.approx(found.metrics["rsum"] - found.against["rsum"])
    assert found.differences["rsum"].low <= found.differences["rsum"].mean <= found.differences["rsum"].high
    same = compare(clip_artifact, clip_artifact, on, cache)
    assert set(same.differences.values()) == {(0.0, 0.0, 0.0)}
    with pytest.raises(ConfigError, match="by protocol standard, not 'scenes'"):
        compare(clip_artifact, clip_artifact, replace(on, protocol="scenes"), cache)


def test_int8_is_measured_on_val(place: Path, data: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    captions, folder = data
    source = write_siglip(place / "eight-bits")
    with pytest.raises(ConfigError, match="say with --data and --images where a data set lies"):
        import_model(source, place / "int8", precision="int8")
    monkeypatch.setattr("training.export.retention.MAX_RSUM_DROP", 600.0)  # of random weights ranks are chance
    import_model(source, place / "int8", precision="int8", data=captions, images=folder)
    manifest = load_model_artifact(place / "int8").manifest
    assert manifest.precision == "int8"
    assert manifest.evaluation["coco/rsum"] > 0
    assert describe_evaluation(place / "int8", EvaluationData(captions, folder, "test")).domain == "unknown"


def test_shards_are_read_and_a_missing_one_is_named(place: Path) -> None:
    source = write_clip(place / "sharded")
    CLIPModel.from_pretrained(source).save_pretrained(place / "shards", max_shard_size="20KB")
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (place / "shards" / name).write_bytes((source / name).read_bytes())
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, parts = (
            load_towers(open_model_directory(directory), pad_id=0).image(pixels)[0]
            for directory in (source, place / "shards")
        )
    torch.testing.assert_close(whole, parts)
    first = sorted(json.loads((place / "shards/model.safetensors.index.json").read_text())["weight_map"].values())[0]
    (place / "shards" / first).unlink()
    with pytest.raises(ArtifactMissing, match=rf"lacks 1 of its \d+ shards of weights, the first is {first}"):
        import_model(place / "shards", place / "never")
    assert not (place / "never").exists()


def test_the_command_line_imports_compares_and_refuses(
    place: Path, clip_artifact: Path, data: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def status_of(*arguments: object) -> object:
        monkeypatch.setattr(sys, "argv", ["aahr", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code

    captions, folder = data
    given = ("--data", captions, "--images", folder, "--json", place / "found.json", "--cache", place / "cache")
    assert not status_of("evaluate", clip_artifact, "--against", clip_artifact, *given)
    assert "no clear difference in rSum" in capsys.readouterr().out
    written = json.loads((place / "found.json").read_text())
    assert written["against"]["metrics"]["rsum"] == written["rsum"]
    assert written["against"]["differences"]["image_to_text_r@1"] == {"mean": 0, "low": 0, "high": 0}

    assert status_of("import", folder, "--out", place / "nothing") == 2
    assert "it has no config.json" in capsys.readouterr().err
    assert not (place / "nothing").exists()
