"""Variants of a small model over regions, with a trained text backbone, from the checkpoint to the index."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from index.items import Modality
from model.artifact import Precision, load_model_artifact
from model.errors import ArtifactMismatch, DataError, TrainingError
from model.nn.towers import DualTextTower
from model.runtime import Runtime
from model.tokens import SentenceTokenizer, token_feeds
from tests.galleries import build_gallery, open_index
from tests.presets import TRAIN_IDS, VAL_IDS, recipe
from tests.scan_files import write_scan
from tests.searching import opened
from tests.tiny_transformers import write_bert, write_clip
from tests.variants import write_colour_variant
from training.checkpoint import Progress, save_checkpoint
from training.export import MIN_COSINE, command, export, retention
from training.export.towers import Towers, write_graphs
from training.network import build_network, load_backbones

VARIANTS: tuple[Precision, ...] = ("fp16", "int8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("variants")


@pytest.fixture(scope="module")
def checkpoint(place: Path) -> Path:
    """A network whose words have moved away from the pretrained ones."""
    for prefix, ids in (("train", TRAIN_IDS), ("dev", VAL_IDS)):
        write_scan(place / "data", prefix, ids)
    bert = write_bert(place / "bert")
    clip = write_clip(place / "clip", projection=16)  # as wide as no other feature
    config = recipe("paper-f30k", bert, clip, f"data.captioned.directory={place / 'data'}")
    backbones = load_backbones(config)
    torch.manual_seed(0)
    network = build_network(config, backbones)
    assert network.text_backbone is not None
    with torch.no_grad():
        for parameter in network.text_backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_checkpoint(
        place / "checkpoint",
        config=config,
        backbones=backbones,
        network=network,
        progress=Progress(1, 1, {"captioned/rsum": 1.0, "other/rsum": 2.0}),
    )
    return place / "checkpoint"


@pytest.fixture(scope="module")
def exact(place: Path, checkpoint: Path) -> Path:
    export(checkpoint, place / "fp32")
    return place / "fp32"


@pytest.fixture
def copied_graphs(exact: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Towers, Path], None]:
    """The fp32 graphs are the same for every export of the checkpoint: traced once."""

    def copy(_towers: Towers, directory: Path) -> None:
        for graph in ("image.onnx", "text.onnx"):
            shutil.copyfile(exact / graph, directory / graph)

    monkeypatch.setattr(command, "write_graphs", copy)
    return copy


def test_the_trained_words_are_exported_and_need_nothing_else(exact: Path, place: Path, checkpoint: Path) -> None:
    config = command.open_checkpoint(checkpoint).config
    pretrained = load_backbones(config).text
    trained = command.load_towers(command.open_checkpoint(checkpoint)).text
    artifact = load_model_artifact(exact)
    assert isinstance(trained, DualTextTower)
    tokens = SentenceTokenizer.of(artifact)(["the red dog runs", "the cat"])
    inputs = {name: torch.from_numpy(array) for name, array in token_feeds(tokens).items()}
    for name in ("bert", "clip"):
        (place / name).rename(place / f"{name}-aside")
    try:
        with Runtime.load(exact, workers=1) as runtime:
            found = runtime.encode_tokens(tokens)
    finally:
        for name in ("bert", "clip"):
            (place / f"{name}-aside").rename(place / name)
    with torch.inference_mode():
        expected = trained(**inputs)[0].numpy()
        other = DualTextTower(pretrained, trained.global_backbone, trained.encoder)(**inputs)[0].numpy()
    assert (found * expected).sum(axis=1).min() > MIN_COSINE
    assert (found * other).sum(axis=1).min() < MIN_COSINE


@pytest.mark.nightly  # tests/unit/training/export/test_tags.py traces a smaller graph twice
def test_an_export_traced_again_has_the_same_bytes(exact: Path, place: Path, checkpoint: Path) -> None:
    (place / "again").mkdir()
    write_graphs(command.load_towers(command.open_checkpoint(checkpoint)), place / "again")
    for graph in ("image.onnx", "text.onnx"):
        assert (place / "again" / graph).read_bytes() == (exact / graph).read_bytes()


@pytest.mark.parametrize("precision", VARIANTS)
@pytest.mark.usefixtures("copied_graphs")
def test_a_variant_is_a_model_of_its_own(
    precision: Precision, place: Path, checkpoint: Path, exact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_RSUM_DROP", 600.0)  # of 6 images a tie is worth 17 points
    for name in ("first", "second"):
        export(checkpoint, place / f"{name}-{precision}", precision=precision)
    first, second = (load_model_artifact(place / f"{name}-{precision}").manifest for name in ("first", "second"))
    plain = load_model_artifact(exact).manifest
    assert (plain.precision, first.precision) == ("fp32", precision)
    assert plain.evaluation == {"captioned/rsum": 1.0, "other/rsum": 2.0}
    assert first.evaluation.keys() >= {"captioned/rsum", "captioned/image_to_text_r@1"}
    assert "other/rsum" not in first.evaluation
    assert first.checkpoint == plain.checkpoint
    assert first.model_id == second.model_id != plain.model_id
    assert first.files["image.onnx"].bytes < 0.75 * plain.files["image.onnx"].bytes


@pytest.mark.usefixtures("copied_graphs")
def test_a_variant_that_loses_too_much_is_not_published(
    place: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_RSUM_DROP", -600.0)
    with pytest.raises(TrainingError, match=r"the int8 graphs have rSum \d+\.\d\d on val, the fp32 graphs \d+\.\d\d"):
        export(checkpoint, place / "refused", precision="int8")
    assert not (place / "refused").exists()
    assert not [path for path in place.iterdir() if path.name.startswith(".")]


@pytest.mark.usefixtures("copied_graphs")
def test_a_variant_without_val_is_not_published(place: Path, checkpoint: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.*--data and --images"):
        export(checkpoint, place / "refused", precision="fp16", data=place / "nowhere.json", images=place)
    assert not (place / "refused").exists()


@pytest.mark.parametrize("precision", VARIANTS)
def test_index_and_service_are_bound_to_the_variant(precision: Precision, tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    variant = write_colour_variant(tmp_path / "variant", precision).directory
    with pytest.raises(ArtifactMismatch), opened(gallery.index, variant):
        pass
    gallery.publish(model=variant)
    with Runtime.load(variant, workers=1) as runtime:
        query = runtime.encode_texts(["a red square"])[0]
    index = open_index(gallery.index)
    (image,) = (item for item in index.items(Modality.IMAGE) if item.uri == "red.jpg")
    with opened(gallery.index) as served:
        found = served.search(text="a red square").results
    scores = {item.uri: float(index.embedding(item.id) @ query) for item in index.items(Modality.IMAGE)}
    assert max(scores, key=scores.__getitem__) == image.uri
    assert np.isfinite(list(scores.values())).all()
    assert found[0].id == image.id
    with pytest.raises(ArtifactMismatch), opened(gallery.index, gallery.model):
        pass
