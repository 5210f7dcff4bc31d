"""The papers' presets from files in the formats of SCAN, Karpathy and HuggingFace to an HTTP hit, in small sizes."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from safetensors.torch import load_file

import cli
from index.items import Modality
from model.artifact import load_model_artifact
from model.datasets.scan import open_scan
from model.errors import ArtifactCorrupt, ConfigError, DataError, UnsupportedQuery
from service.server import load_app
from service.settings import read_settings
from tests.galleries import image_bytes, open_index, rebuild_index, rebuild_regions
from tests.presets import TEST_IDS, TRAIN_IDS, VAL_IDS, Way, recipe, walk, write_karpathy
from tests.scan_files import globals_of, regions_of, write_pictures, write_scan
from tests.tiny_transformers import write_bert, write_clip
from training.checkpoint import open_checkpoint
from training.data.scan import region_table, write_clip_features
from training.evaluate import evaluate, open_embedder
from training.evaluation_data import EvaluationData
from training.export import MIN_COSINE
from training.train import BEST


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("presets")


@pytest.fixture(scope="module")
def bert(place: Path) -> Path:
    return write_bert(place / "bert")


@pytest.fixture(scope="module")
def clip(place: Path) -> Path:
    return write_clip(place / "clip", projection=512)


@pytest.fixture(scope="module")
def f30k(place: Path, bert: Path, clip: Path) -> Way:
    """Three captions an image, ids and regions once per image, and no embeddings of CLIP but the pictures."""
    data, images = place / "f30k" / "precomp", place / "f30k" / "flickr30k-images"
    for prefix, ids in (("train", TRAIN_IDS), ("dev", VAL_IDS), ("test", TEST_IDS)):
        write_scan(data, prefix, ids, per_image=3, global_features=None)
    write_pictures(images, data.parent / "id_mapping.json", [*TRAIN_IDS, *VAL_IDS, *TEST_IDS])
    places = (f"data.captioned.directory={data}", f"data.captioned.images={images}", f"data.captioned.clip={clip}")
    return walk(place, "paper-f30k", recipe("paper-f30k", bert, clip, *places), data, images)


@pytest.fixture(scope="module")
def coco(place: Path, bert: Path, clip: Path) -> Way:
    """Two captions an image, every row once per caption, regions in half precision, "test" a part of "testall"."""
    data = place / "coco"
    splits = {"train": TRAIN_IDS, "dev": VAL_IDS, "test": TEST_IDS[:3], "testall": TEST_IDS}
    for prefix, ids in splits.items():
        arrays = {"regions": regions_of(ids).astype(np.float16), "global_features": globals_of(ids), "ids": list(ids)}
        repeated = {name: np.repeat(rows, 2, axis=0) for name, rows in arrays.items()}
        write_scan(data, prefix, ids, per_image=2, **repeated)
    return walk(place, "paper-coco", recipe("paper-coco", bert, clip, f"data.captioned.directory={data}"), data, None)


@pytest.fixture(scope="module")
def clip_preset(place: Path, bert: Path, clip: Path) -> Way:
    """Karpathy's file for COCO, with its field names, a folder per image and images of "restval"."""
    data, images = write_karpathy(place)
    places = (f"data.photographs.captions={data}", f"data.photographs.images={images}")
    config = recipe("clip", bert, clip, *places, f"model.image_backbone.path={clip}")
    return walk(place, "clip", config, data, images)


@contextmanager
def client_of(index: Path) -> Iterator[TestClient]:
    settings = read_settings(index_dir=index)
    with TestClient(load_app(settings), "http://localhost") as client:
        yield client


@pytest.fixture(scope="module", params=["f30k", "coco", "clip_preset"])
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.getfixturevalue(request.param)
    return found


def test_every_part_trains(way: Way) -> None:
    lines = [json.loads(line) for line in (way.run / "metrics.jsonl").read_text().splitlines()]
    assert set(lines[-1]["loss"]) == {"matching", "prototypes", "relation", "momentum"}
    assert all(np.isfinite(value) for line in lines for value in line["loss"].values())


def test_the_fine_tuned_words_are_in_the_checkpoint(way: Way, bert: Path) -> None:
    trained, pretrained = load_file(way.run / BEST / "model.safetensors"), load_file(bert / "model.safetensors")
    prefix = "text_backbone.network."
    kept = {name.removeprefix(prefix): tensor for name, tensor in trained.items() if name.startswith(prefix)}
    assert set(kept) == {name for name in pretrained if not name.startswith("pooler.")}
    layer = "encoder.layer.0.attention.self.query.weight"
    assert not any("global_backbone" in name for name in trained), "the sentences' encoder stays outside"
    moved = (kept[layer].float() - pretrained[layer].half().float()).abs().max()
    assert moved > 0


def test_checkpoint_and_exported_model_agree(way: Way, place: Path) -> None:
    captions = ["the red dog runs", "the cat"]
    checkpoint, model = (open_embedder(path, place / "cache") for path in (way.run / BEST, way.artifact))
    cosines = (checkpoint.texts(captions) * model.texts(captions)).sum(axis=1)
    assert cosines.min() > MIN_COSINE
    if way.data.is_dir():
        table = region_table(open_scan(way.data, "test"), way.images, checkpoint.clip, place / "cache")
        images = checkpoint.regions(table), model.regions(table)
    else:
        pictures = sorted((place / "coco-images").rglob("*.jpg"))
        images = checkpoint.images(pictures), model.images(pictures)
    assert (images[0] * images[1]).sum(axis=1).min() > MIN_COSINE


def test_sentences_are_clips_from_the_checkpoint_to_the_model(way: Way, bert: Path, clip: Path) -> None:
    assert set(open_checkpoint(way.run / BEST).manifest.fingerprints) == {"image", "text", "text_global"}
    artifact = load_model_artifact(way.artifact)
    assert artifact.manifest.text_global_backbone == "clip-text-embedding"
    assert artifact.tokenizer_file.read_bytes() == (bert / "tokenizer.json").read_bytes()
    assert artifact.global_tokenizer_file.read_bytes() == (clip / "tokenizer.json").read_bytes()


def test_the_test_split_is_evaluated(way: Way, place: Path) -> None:
    found = evaluate(way.run / BEST, EvaluationData(way.data, way.images, "test"), place / "cache")
    assert 0 < found["rsum"] <= 600


def test_a_damaged_or_other_text_backbone_is_refused(f30k: Way, place: Path, bert: Path) -> None:
    other = write_bert(place / "other-bert", seed=1)
    moved = place / "bert-aside"
    shutil.move(bert, moved)
    try:
        shutil.copytree(other, bert)
        with pytest.raises(ArtifactCorrupt, match="trained on a text backbone with fingerprint"):
            open_embedder(f30k.run / BEST, place / "cache")
    finally:
        shutil.rmtree(bert)
        shutil.move(moved, bert)
    assert open_embedder(f30k.run / BEST, place / "cache").texts(["the dog"]).shape == (1, 32)


@pytest.mark.parametrize("with_images", [False, True])
def test_words_find_regions_and_an_image_is_refused(f30k: Way, place: Path, clip: Path, with_images: bool) -> None:
    data, index = place / "gallery", place / f"index-{with_images}"
    shutil.copytree(f30k.data.parent, data, dirs_exist_ok=True)
    images = data / "flickr30k-images"
    write_clip_features(data / "precomp", images, clip, place / "cache")
    rebuild_regions(f30k.artifact, data / "precomp", index, images=images if with_images else None)
    with client_of(index) as client:
        answer = client.post("/search", json={"text": "the red dog", "limit": len(TEST_IDS)})
        assert answer.status_code == 200
        found = answer.json()["results"]
        refused = client.post("/search", files={"image": image_bytes("red")})
        assert refused.status_code == 422
        assert "takes precomputed regions" in refused.text
        shown = client.get(f"/items/{found[0]['id']}/image")
        assert shown.status_code == (200 if with_images else 404)
        captions = client.post("/search", json={"id": found[0]["id"]}).json()["results"]
        assert {hit["modality"] for hit in captions} == {"text"}
    assert {hit["payload"]["image_id"] for hit in found} == set(TEST_IDS)
    loaded = open_index(index)
    assert loaded.count(Modality.TEXT) == 3 * len(TEST_IDS)
    query = open_embedder(f30k.artifact, place / "cache").texts(["the red dog"])[0]
    scores = [float(loaded.embedding(hit["id"]) @ query) for hit in found]
    assert [hit["score"] for hit in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


def test_regions_go_through_the_command_line(
    coco: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def aahr(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["aahr", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr().out

    for directory in (coco.run / BEST, coco.artifact):
        assert "rsum" in aahr("evaluate", directory, "--data", coco.data, "--cache", tmp_path)
    options = ("--model", coco.artifact, "--regions", coco.data, "--out", tmp_path / "index")
    assert "8 images, 16 captions" in aahr("index", "rebuild", *options)
    assert "300" in aahr("index", "search", tmp_path / "index", "the dog")
    with client_of(tmp_path / "index") as client:
        assert len(client.post("/search", json={"text": "the dog"}).json()["results"]) == len(TEST_IDS)
    assert "6 images, 12 captions" in aahr("index", "rebuild", *options, "--split", "val")


def test_a_sentence_finds_photographs_of_the_clip_preset(clip_preset: Way, place: Path) -> None:
    assert clip_preset.images is not None
    rebuild_index(clip_preset.artifact, clip_preset.images, place / "index-clip", clip_preset.data)
    with client_of(place / "index-clip") as client:
        assert len(client.post("/search", json={"text": "the dog"}).json()["results"]) == 10
        picture = sorted(clip_preset.images.rglob("*.jpg"))[3]
        sent = {"files": {"image": picture.read_bytes()}, "data": {"target": "image"}}
        best = client.post("/search", **sent).json()["results"][0]  # type: ignore[arg-type]
    assert best["uri"] == f"val2014/{picture.name}"


def test_what_a_model_cannot_take_is_said(f30k: Way, clip_preset: Way, place: Path) -> None:
    def run(way: Way, data: Path, images: Path | None) -> float:
        return evaluate(way.artifact, EvaluationData(data, images, "test"), place / "cache")["rsum"]

    with pytest.raises(UnsupportedQuery, match=r"takes precomputed regions: give --data a directory in SCAN's format"):
        run(f30k, clip_preset.data, clip_preset.images)
    with pytest.raises(UnsupportedQuery, match="takes images: say with --images where"):
        run(clip_preset, f30k.data, None)
    with pytest.raises(DataError, match=r"names images: say with --images"):
        run(clip_preset, clip_preset.data, None)
    with pytest.raises(ConfigError, match=r"test_clip\.npy is not there: .*aahr data clip"):
        run(f30k, f30k.data, f30k.images)
    with pytest.raises(DataError, match=r"test_clip\.npy is not there: .*aahr data clip"):
        rebuild_regions(f30k.artifact, f30k.data, place / "never")
    with pytest.raises(UnsupportedQuery, match="takes images, not precomputed regions"):
        rebuild_regions(clip_preset.artifact, place / "coco", place / "never")
    assert 0 < run(clip_preset, f30k.data, f30k.images) <= 600, "raw pictures of a SCAN directory"


def test_the_recipe_is_kept_with_the_checkpoint(coco: Way) -> None:
    kept = open_checkpoint(coco.run / BEST)
    assert kept.config.model.text_backbone.trainable
    assert kept.config.objective.relation.mask_weight == 1.5
    assert kept.manifest.evaluation.keys() >= {"captioned/rsum"}
