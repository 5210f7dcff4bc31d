"""What an evaluation says of its data: in-domain, zero-shot, or not known; of checkpoints and of exported models."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cli
from model.artifact import ModelArtifact
from model.errors import ArtifactMissing, DataError
from tests.artifacts import write_colour_model
from tests.conftest import PROJECT
from tests.other_domains import aerial_image, news_image, write_aerial, write_news
from tests.presets import write_karpathy
from training import about as about_module
from training.about import About, describe_evaluation
from training.config import DataConfig
from training.evaluation_data import EvaluationData
from training.scenes import write_scenes


class Recipe:
    """A checkpoint, as far as its data sets go."""

    def __init__(self, **data: DataConfig) -> None:
        self.config = self
        self.data = data


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A directory that looks like a checkpoint; `trained_on` says on what."""
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "manifest.json").touch()
    return tmp_path / "best"


def trained_on(monkeypatch: pytest.MonkeyPatch, **data: DataConfig) -> None:
    monkeypatch.setattr(about_module, "open_checkpoint", lambda _: Recipe(**data))


def exported(folder: Path, evaluation: dict[str, float], precision: str = "fp32") -> Path:
    """An exported model whose manifest has these figures on val."""
    artifact: ModelArtifact = write_colour_model(folder / "model")
    file = artifact.directory / "manifest.json"
    manifest: dict[str, Any] = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "evaluation": evaluation, "precision": precision}))
    return artifact.directory


SCENES = DataConfig(format="scenes", count=20)


def test_a_model_of_scenes_is_zero_shot_on_captions_and_in_domain_on_scenes(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained_on(monkeypatch, drawn=SCENES)
    data, images = write_karpathy(tmp_path)
    in_file = [each for each in json.loads(data.read_text())["images"] if each["split"] == "test"]
    assert describe_evaluation(checkpoint, EvaluationData(data, images, "test")) == About(
        data="coco",
        split="test",
        images=len(in_file),
        captions=sum(len(each["sentences"]) for each in in_file),
        trained_on=("drawn (scenes)",),
        domain="zero-shot",
    )
    write_scenes(tmp_path / "scenes", count=20, seed=3)
    scenes = tmp_path / "scenes" / "scenes.json"
    found = describe_evaluation(checkpoint, EvaluationData(scenes, scenes.parent / "images", "test"))
    assert (found.data, found.domain) == ("scenes", "in-domain")


def test_a_model_of_captions_is_zero_shot_on_scenes_and_in_domain_on_its_own_file(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, images = write_karpathy(tmp_path)
    trained_on(monkeypatch, captioned=DataConfig(captions=data, images=images))
    found = describe_evaluation(checkpoint, EvaluationData(data, images, "val"))
    assert (found.domain, found.trained_on) == ("in-domain", ("captioned (coco)",))
    write_scenes(tmp_path / "scenes", count=20, seed=3)
    scenes = tmp_path / "scenes" / "scenes.json"
    found = describe_evaluation(checkpoint, EvaluationData(scenes, scenes.parent / "images", "test"))
    assert found.domain == "zero-shot"
    assert found.line == f"scenes test: {found.images} images, {found.captions} captions; zero-shot " + (
        "(trained on captioned (coco))"
    )


def test_a_renamed_data_set_is_known_by_its_file(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, images = write_karpathy(tmp_path)
    mine = data.rename(tmp_path / "mine.json")
    trained_on(monkeypatch, photographs=DataConfig(captions=mine, images=images))
    assert describe_evaluation(checkpoint, EvaluationData(mine, images, "val")).domain == "in-domain"


@pytest.mark.parametrize("directory", ["f30k_precomp", "f30k/precomp", "Flickr30K"])
def test_variants_of_a_name_are_one_data_set(
    directory: str, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, images = write_karpathy(tmp_path)
    data.write_text(data.read_text().replace('"dataset": "coco"', '"dataset": "flickr30k"'))
    trained_on(monkeypatch, captioned=DataConfig(format="scan", directory=Path(directory)))
    assert describe_evaluation(checkpoint, EvaluationData(data, images, "val")).domain == "in-domain"


def test_other_domains_are_named(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_on(monkeypatch, scenes=SCENES)
    news, news_images = write_news(tmp_path / "news", {"test": [news_image(0), news_image(1)]})
    aerial, aerial_images = write_aerial(tmp_path / "aerial", [aerial_image(0, "test")])
    first = describe_evaluation(checkpoint, EvaluationData(news, news_images, "test", data_format="n24news"))
    assert first.line == "n24news test: 2 images, 2 captions; zero-shot (trained on scenes)"
    second = describe_evaluation(checkpoint, EvaluationData(aerial, aerial_images, "test", data_format="rsitmd"))
    assert second.line == "rsitmd test: 1 images, 5 captions; zero-shot (trained on scenes)"


def test_the_trained_default_tells_both_of_its_data_sets(tmp_path: Path) -> None:
    mini = PROJECT / "checkpoints" / "mini"
    file, images = write_aerial(tmp_path, [aerial_image(0, "test")])
    found = describe_evaluation(mini, EvaluationData(file, images, "test", data_format="rsitmd"))
    assert (found.domain, found.trained_on) == ("zero-shot", ("flickr8k", "scenes"))
    write_scenes(tmp_path / "scenes", count=20, seed=3)
    scenes = tmp_path / "scenes" / "scenes.json"
    assert describe_evaluation(mini, EvaluationData(scenes, scenes.parent / "images", "test")).domain == "in-domain"


@pytest.mark.parametrize(
    ("evaluation", "precision", "domain"),
    [
        ({"coco/rsum": 1.0, "scenes/rsum": 2.0}, "fp32", "in-domain"),
        ({"flickr8k/rsum": 1.0, "flickr8k/r@1": 1.0}, "fp32", "zero-shot"),
        ({"flickr8k/rsum": 1.0}, "int8", "unknown"),
        ({"coco/rsum": 1.0}, "int8", "in-domain"),
        ({"rsum": 1.0}, "fp32", "unknown"),
    ],
)
def test_an_exported_model_tells_what_its_manifest_names(
    evaluation: dict[str, float], precision: str, domain: str, tmp_path: Path
) -> None:
    data, images = write_karpathy(tmp_path)
    on = EvaluationData(data, images, "test")
    found = describe_evaluation(exported(tmp_path, evaluation, precision), on)
    assert found.domain == domain
    assert found.trained_on == tuple(dict.fromkeys(key.split("/")[0] for key in evaluation if "/" in key))


def test_a_directory_without_a_model_and_a_wrong_split_are_refused(tmp_path: Path, checkpoint: Path) -> None:
    data, images = write_karpathy(tmp_path)
    with pytest.raises(ArtifactMissing, match="neither a checkpoint"):
        describe_evaluation(images, EvaluationData(data, images, "test"))
    with pytest.raises(DataError, match="there is no split 'dev'"):
        describe_evaluation(checkpoint, EvaluationData(data, images, "dev"))


def test_the_command_prints_and_writes_what_it_is_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = exported(tmp_path, {"flickr8k/rsum": 1.0})
    records = [aerial_image(number, "test") for number in range(6)]
    file, images = write_aerial(tmp_path / "aerial", records)
    out = tmp_path / "figures.json"
    arguments = [model, "--data", file, "--format", "rsitmd", "--images", images, "--json", out, "--cache", tmp_path]
    monkeypatch.setattr(sys, "argv", ["aahr", "evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert "rsitmd test: 6 images, 30 captions; zero-shot (trained on flickr8k)\n" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written.pop("about") == {
        "data": "rsitmd",
        "split": "test",
        "images": 6,
        "captions": 30,
        "trained_on": ["flickr8k"],
        "domain": "zero-shot",
    }
    assert np.isfinite(list(written.values())).all()
    assert written["image_to_text_r@1"] == 100.0
