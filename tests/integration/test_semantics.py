"""Descriptions from the file to the exported model: trained with them, exported, and evaluated with and without."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from model.artifact import SEMANTIC_FILES, load_model_artifact
from model.descriptions import Description, Source
from model.descriptions.file import as_lines
from model.errors import ConfigError, DataError, UnsupportedQuery
from model.manifest import sha256_of_file
from model.runtime import Runtime
from tests.recipes import scenes_recipe
from training.checkpoint import open_checkpoint
from training.config import DataConfig, TrainingConfig
from training.data.karpathy import load_karpathy
from training.data.sources import drawn_scenes
from training.evaluate import evaluate, open_embedder
from training.evaluation_data import EvaluationData
from training.export import command, export
from training.export.towers import Towers
from training.train import BEST, train

SCENES = 96
SOURCE = Source("openai:perfect", "f" * 16)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("described")


@pytest.fixture(scope="module")
def cache(workplace: Path) -> Path:
    return workplace / "cache"


@pytest.fixture(scope="module")
def scenes(cache: Path) -> Path:
    return drawn_scenes(DataConfig(format="scenes", count=SCENES, seed=0), cache)


@pytest.fixture(scope="module")
def descriptions(workplace: Path, scenes: Path) -> Path:
    """A perfect describer: the first caption of each image. Every seventh image is not described."""
    lines = []
    for at, image in enumerate(json.loads((scenes / "scenes.json").read_bytes())["images"]):
        if at % 7 != 6:
            name = image["filename"]
            lines.append(
                Description(
                    image=name,
                    text=image["sentences"][0]["raw"],
                    image_sha256=sha256_of_file(scenes / "images" / name),
                    describer=SOURCE.describer,
                    prompt_hash=SOURCE.prompt_hash,
                )
            )
    path = workplace / "descriptions.jsonl"
    path.write_text(as_lines(lines), encoding="utf-8")
    return path


def described_recipe(descriptions: Path, *settings: str) -> TrainingConfig:
    return scenes_recipe(
        "vsd",
        SCENES,
        "epochs=3",
        "batch.flips=false",
        f"data.scenes.descriptions={descriptions}",
        "objective.semantic_prototypes.count=8",
        "model.semantics.weight=1.0",  # as the paper has it; this describer is a good one
        *settings,
    )


@pytest.fixture(scope="module")
def run(workplace: Path, descriptions: Path, cache: Path) -> Path:
    """D is 32 and the sentence embeddings are 384 wide: the projection is part of it."""
    train(described_recipe(descriptions), workplace / "run", cache)
    return workplace / "run"


@pytest.fixture(scope="module")
def exported(workplace: Path, run: Path) -> Path:
    export(run / BEST, workplace / "model")
    return workplace / "model"


def test_the_checkpoint_keeps_who_described_and_what_was_fitted(run: Path) -> None:
    checkpoint = open_checkpoint(run / BEST)
    assert checkpoint.manifest.described_by == SOURCE
    assert set(checkpoint.manifest.fingerprints) == {"image", "text", "sentence"}
    parts = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("semantic_prototypes" in json.dumps(line) for line in parts)


def test_descriptions_help_and_are_what_evaluation_is_given(
    run: Path, exported: Path, scenes: Path, descriptions: Path, cache: Path
) -> None:
    data = scenes / "scenes.json"
    found = {}
    for directory in (run / BEST, exported):
        for described in (descriptions, None):
            on = EvaluationData(data, scenes / "images", "val", descriptions=described)
            found[directory.name, described is None] = evaluate(directory, on, cache)["rsum"]
    assert found[BEST, False] > found[BEST, True] + 20
    assert found["model", False] == pytest.approx(found[BEST, False], abs=1)
    assert found["model", True] == pytest.approx(found[BEST, True], abs=1)
    # What training chose the epoch by is what evaluation measures.
    assert open_checkpoint(run / BEST).manifest.evaluation["scenes/rsum"] == pytest.approx(found[BEST, False], abs=0.5)


def test_the_exported_model_is_the_network(run: Path, exported: Path, scenes: Path, cache: Path) -> None:
    dataset = load_karpathy(scenes / "scenes.json", scenes / "images", "val")
    texts: list[str | None] = [*dataset.captions[: len(dataset) - 1], None]
    network, model = open_embedder(run / BEST, cache), open_embedder(exported, cache)
    for found, expected in (
        (model.images(dataset.image_paths, texts), network.images(dataset.image_paths, texts)),
        (model.images(dataset.image_paths), network.images(dataset.image_paths)),
        (model.texts(dataset.captions), network.texts(dataset.captions)),
    ):
        assert (found * expected).sum(axis=1).min() > 0.9999
    model.close()
    manifest = load_model_artifact(exported).manifest
    assert manifest.semantics is not None
    assert manifest.semantics.model_dump() == {
        "describer": "openai:perfect",
        "prompt_hash": "f" * 16,
        "sentence_encoder": "minilm",
    }
    assert set(SEMANTIC_FILES) < set(manifest.files)


@pytest.mark.parametrize("precision", ["int8", pytest.param("fp16", marks=pytest.mark.nightly)])
def test_variants_keep_the_embeddings(
    workplace: Path,
    run: Path,
    exported: Path,
    cache: Path,
    precision: str,
    scenes: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.export.retention.MAX_RSUM_DROP", 600.0)  # after three epochs figures vary more

    def copy(_towers: Towers, directory: Path) -> None:
        for graph in ("image.onnx", "text.onnx", "sentence.onnx"):
            shutil.copyfile(exported / graph, directory / graph)

    monkeypatch.setattr(command, "write_graphs", copy)  # tracing them again would give the same
    out = workplace / precision
    export(run / BEST, out, precision=precision, cache=cache)  # type: ignore[arg-type]
    dataset = load_karpathy(scenes / "scenes.json", scenes / "images", "val")
    with Runtime.load(exported) as exact, Runtime.load(out) as variant:
        texts = list(dataset.captions)
        assert (exact.encode_texts(texts) * variant.encode_texts(texts)).sum(axis=1).min() > 0.97
        described, other = exact.encode_descriptions(texts), variant.encode_descriptions(texts)
        assert (described * other).sum(axis=1).min() > 0.97
        np.testing.assert_allclose(np.linalg.norm(other, axis=1), 1, atol=1e-3)


def test_descriptions_for_a_model_without_semantics_are_refused(
    workplace: Path, scenes: Path, descriptions: Path, cache: Path
) -> None:
    plain = workplace / "plain"
    train(scenes_recipe("vse", SCENES, "epochs=1", "batch.flips=false"), plain, cache)
    on = EvaluationData(scenes / "scenes.json", scenes / "images", "val", descriptions=descriptions)
    with pytest.raises(UnsupportedQuery, match="fuses no semantics"):
        evaluate(plain / BEST, on, cache)


def test_files_of_two_describers_make_no_recipe(workplace: Path, descriptions: Path, cache: Path) -> None:
    other = workplace / "other.jsonl"
    other.write_text(descriptions.read_text(encoding="utf-8").replace("f" * 16, "e" * 16), encoding="utf-8")
    tree = described_recipe(descriptions).model_dump(mode="json")
    tree["data"]["again"] = {**tree["data"]["scenes"], "descriptions": str(other)}
    with pytest.raises(DataError, match="a model learns from one describer"):
        train(TrainingConfig.model_validate(tree), workplace / "two", cache)


def test_more_centroids_than_descriptions_are_refused(workplace: Path, descriptions: Path, cache: Path) -> None:
    with pytest.raises(ConfigError, match="500 are more centroids than the"):
        train(described_recipe(descriptions, "objective.semantic_prototypes.count=500"), workplace / "many", cache)
