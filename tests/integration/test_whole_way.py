"""From drawn scenes to an HTTP hit: train, stop and resume, evaluate, export, index, search."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fastapi.testclient import TestClient
from onnx import numpy_helper
from safetensors.torch import load_file

from index.items import Modality
from model.artifact import load_model_artifact
from model.errors import ArtifactCorrupt, ArtifactMissing, ConfigError, DataError, TrainingError
from tests.galleries import open_index, rebuild_index
from tests.recipes import scenes_recipe
from training.checkpoint import open_checkpoint
from training.config import TrainingConfig
from training.data.karpathy import load_karpathy
from training.evaluate import evaluate, open_embedder
from training.evaluation_data import EvaluationData
from training.export import command, export
from training.loop import Trainer
from training.train import BEST, LAST, Interrupted, train

SCENES = 96
DIMENSION = 32  # of the recipe


def small_recipe(*settings: str) -> TrainingConfig:
    """The recipe on frozen features, few scenes, in small sizes, with every part active from the second step."""
    return scenes_recipe("mini-frozen", SCENES, "epochs=3", "batch.flips=false", *settings)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole-way")


@pytest.fixture(scope="module")
def cache(workplace: Path) -> Path:
    return workplace / "cache"


@pytest.fixture(scope="module")
def run(workplace: Path, cache: Path) -> Path:
    directory = workplace / "run"
    train(small_recipe(), directory, cache)
    return directory


@pytest.fixture(scope="module")
def scenes(run: Path, cache: Path) -> Path:
    assert run.exists()
    return next((cache / "scenes").glob(f"{SCENES}-0-*/scenes.json")).parent


@pytest.fixture(scope="module")
def artifact(run: Path, workplace: Path) -> Path:
    export(run / BEST, workplace / "model")
    return workplace / "model"


@pytest.fixture(scope="module")
def client(artifact: Path, scenes: Path, workplace: Path) -> Iterator[TestClient]:
    from service.server import load_app
    from service.settings import read_settings

    index = workplace / "index"
    rebuild_index(artifact, scenes / "images", index, scenes / "scenes.json")
    settings = read_settings(index_dir=index)
    with TestClient(load_app(settings), "http://localhost") as client:
        yield client


def test_a_run_leaves_metrics_and_both_checkpoints(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert set(lines[-1]["loss"]) == {"matching", "local_matching", "prototypes", "relation", "momentum"}
    best = max(lines, key=lambda line: line["val"]["scenes/rsum"])
    checkpoint = open_checkpoint(run / BEST)
    assert checkpoint.manifest.evaluation == best["val"]
    assert checkpoint.manifest.epoch == best["epoch"]
    assert list((run / "tensorboard").iterdir())
    assert not any("backbone" in name for name in load_file(run / BEST / "model.safetensors"))


def test_an_interrupted_run_resumes_to_the_same_bits(
    run: Path, workplace: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = workplace / "interrupted"
    step = Trainer.train_step

    def step_and_stop(trainer: Trainer, batch: object) -> dict[str, float]:
        parts = step(trainer, batch)  # type: ignore[arg-type]
        if trainer.step == 6:  # in the middle of the second epoch
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", step_and_stop)
        with pytest.raises(Interrupted, match=r"step 6.*--resume"):
            train(small_recipe(), directory, cache)
    assert open_checkpoint(directory / LAST).manifest.step == 6
    with pytest.raises(ConfigError, match="another recipe"):
        train(small_recipe("optimiser.learning_rate=1e-5"), directory, cache, resume=True)
    train(small_recipe(), directory, cache, resume=True)
    whole, resumed = (torch.load(each / LAST / "state.pt", weights_only=True)["trainer"] for each in (run, directory))
    for part in ("network", "objective"):
        for name, tensor in whole[part].items():
            assert torch.equal(tensor, resumed[part][name]), name


def test_a_run_directory_is_not_overwritten(run: Path, cache: Path, workplace: Path) -> None:
    with pytest.raises(ConfigError, match="--resume"):
        train(small_recipe(), run, cache)
    with pytest.raises(ConfigError, match="no run to resume"):
        train(small_recipe(), workplace / "nothing", cache, resume=True)
    with pytest.raises(ConfigError, match=r"fewer than batch.images = 1000"):
        train(small_recipe("batch.images=1000", "objective.momentum.queue=1000"), workplace / "nothing", cache)
    with pytest.raises(ConfigError, match=r"momentum.queue = 4992 is full after 312 of 12 steps"):
        train(small_recipe("objective.momentum.queue=4992"), workplace / "nothing", cache)


def test_checkpoint_and_exported_model_have_the_same_figures(
    run: Path, artifact: Path, scenes: Path, cache: Path
) -> None:
    val = EvaluationData(scenes / "scenes.json", scenes / "images", "val")
    train_split = replace(val, split="train")
    kept = open_checkpoint(run / BEST).manifest.evaluation
    for name, value in evaluate(run / BEST, val, cache).items():
        assert kept[f"scenes/{name}"] == pytest.approx(value, abs=1e-9), name
    of_checkpoint = evaluate(run / BEST, train_split, cache)
    of_model = evaluate(artifact, train_split, cache)
    assert of_checkpoint.keys() == of_model.keys()
    for name, value in of_checkpoint.items():
        # Rounding may decide a tie: one image of 72 or two captions of 360, and a rank.
        assert of_model[name] == pytest.approx(value, abs=3 if name == "rsum" else 1.4), name
    with pytest.raises(DataError, match="no split 'testing'"):
        evaluate(artifact, replace(val, split="testing"), cache)
    with pytest.raises(ArtifactMissing, match="neither a checkpoint"):
        evaluate(scenes, val, cache)


def test_checkpoint_and_exported_model_have_the_same_scores(
    run: Path, artifact: Path, scenes: Path, cache: Path
) -> None:
    dataset = load_karpathy(scenes / "scenes.json", scenes / "images", "train")
    scores = []
    for directory in (run / BEST, artifact):
        embedder = open_embedder(directory, cache)
        scores.append(embedder.images(dataset.image_paths) @ embedder.texts(dataset.captions).T)
    assert scores[0].std() > 0.05
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)


def test_the_artifact_names_its_checkpoint(run: Path, artifact: Path) -> None:
    manifest = load_model_artifact(artifact).manifest
    checkpoint = open_checkpoint(run / BEST)
    assert manifest.checkpoint.sha256 == checkpoint.sha256
    assert manifest.evaluation == checkpoint.manifest.evaluation
    assert (manifest.dimension, manifest.image_input) == (DIMENSION, "pixels")


@pytest.mark.parametrize("changed", ["image.onnx", "text.onnx"])
def test_a_graph_that_differs_from_torch_is_not_published(
    run: Path, artifact: Path, workplace: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its linear layers are off by a half, as where an exporter goes wrong."""

    def copy_graphs(_towers: object, directory: Path) -> None:
        for graph in ("image.onnx", "text.onnx"):
            shutil.copyfile(artifact / graph, directory / graph)
        change_weights(directory / changed)

    monkeypatch.setattr(command, "write_graphs", copy_graphs)
    with pytest.raises(TrainingError, match=r"differ from torch: smallest cosine 0\.\d+, .*nothing was written"):
        export(run / BEST, workplace / "refused")
    assert not (workplace / "refused").exists()


def change_weights(file: Path) -> None:
    model = onnx.load(file)
    weights = [tensor for tensor in model.graph.initializer if list(tensor.dims) == [DIMENSION, DIMENSION]]
    assert weights
    for weight in weights:
        noise = np.random.default_rng(0).normal(1.0, 0.5, weight.dims).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * noise, weight.name))
    onnx.save(model, file)


def test_a_damaged_checkpoint_is_refused(run: Path, workplace: Path) -> None:
    damaged = workplace / "damaged"
    shutil.copytree(run / BEST, damaged)
    parameters = damaged / "model.safetensors"
    parameters.write_bytes(parameters.read_bytes()[:-1])
    with pytest.raises(ArtifactCorrupt, match=r"model\.safetensors"):
        open_checkpoint(damaged)


def test_an_image_finds_itself_and_a_sentence_finds_what_the_embeddings_say(
    client: TestClient, workplace: Path, scenes: Path
) -> None:
    scene = json.loads((scenes / "scenes.json").read_text())["images"][5]
    image = (scenes / "images" / scene["filename"]).read_bytes()
    answer = client.post("/search", files={"image": image}, data={"target": "image", "limit": "3"})
    assert answer.status_code == 200
    assert answer.json()["results"][0]["uri"] == scene["filename"]

    sentence = scene["sentences"][0]["raw"]
    answer = client.post("/search", json={"text": sentence, "limit": 5, "normalise": False})
    assert answer.status_code == 200
    found = answer.json()["results"]
    index = open_index(workplace / "index")
    images = list(index.items(Modality.IMAGE))
    text = next(item for item in index.items(Modality.TEXT) if item.caption == sentence)
    scores = [float(index.embedding(item.id) @ index.embedding(text.id)) for item in images]
    best = sorted(zip(scores, (item.uri for item in images), strict=True), reverse=True)[:5]
    assert [hit["uri"] for hit in found] == [uri for _, uri in best]
    assert [hit["score"] for hit in found] == pytest.approx([score for score, _ in best], abs=1e-5)

    ranked = client.post("/search", json={"text": sentence, "limit": 5}).json()["results"]
    cosine_of = {item.uri: score for item, score in zip(images, scores, strict=True)}
    assert [hit["score"] for hit in ranked] == pytest.approx([cosine_of[hit["uri"]] for hit in ranked], abs=1e-5)
    assert [hit["rank_score"] for hit in ranked] == sorted((hit["rank_score"] for hit in ranked), reverse=True)


def test_signals_are_given_back_after_training(workplace: Path, cache: Path) -> None:
    assert threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    train(small_recipe("epochs=1", "objective.prototypes.enabled=false"), workplace / "signals", cache)
    assert signal.getsignal(signal.SIGINT) is before
