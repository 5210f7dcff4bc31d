"""Words of BERT beside the sentence embedding of CLIP: from the cache and the checkpoint to the graph and the index."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from index.embedding.encoder import Encoder
from model.artifact import load_model_artifact
from model.errors import ArtifactCorrupt, ConfigError, InvalidInput
from model.nn.aahr import AAHR, TokenBatch
from model.nn.backbones import load_text_backbone, load_text_global_backbone
from model.nn.features import LocalFeatures
from model.nn.towers import DualTextTower
from model.runtime import TEXT_CHUNK, Runtime
from model.tokens import token_feeds
from tests.presets import TRAIN_IDS, VAL_IDS, recipe
from tests.scan_files import write_scan
from tests.tiny_transformers import write_bert, write_clip
from training.checkpoint import Progress, load_network, open_checkpoint, save_checkpoint
from training.data.batches import change_words
from training.data.features import text_feature_table
from training.data.texts import join_texts, text_source
from training.export import MIN_COSINE, export
from training.export.towers import load_towers
from training.network import Backbones, build_network, load_backbones

PROJECTION = 48
CAPTIONS = ["the red dog runs", "a cat", "the cat sleeps on the green grass", "a red dog on the grass runs"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("encoders")
    write_bert(place / "bert")
    write_clip(place / "clip", projection=PROJECTION)
    for prefix, ids in (("train", TRAIN_IDS), ("dev", VAL_IDS)):
        write_scan(place / "data", prefix, ids)
    return place


@pytest.fixture(scope="module")
def checkpoint(place: Path) -> Path:
    """An untrained network over BERT, CLIP's sentences and regions."""
    config = recipe("paper-f30k", place / "bert", place / "clip", f"data.captioned.directory={place / 'data'}")
    backbones = load_backbones(config)
    torch.manual_seed(0)
    save_checkpoint(
        place / "checkpoint",
        config=config,
        backbones=backbones,
        network=build_network(config, backbones),
        progress=Progress(1, 1, {}),
    )
    return place / "checkpoint"


@pytest.fixture(scope="module")
def artifact(place: Path, checkpoint: Path) -> Path:
    export(checkpoint, place / "model")
    return place / "model"


@pytest.fixture(scope="module")
def backbones(checkpoint: Path) -> Backbones:
    return load_backbones(open_checkpoint(checkpoint).config)


@pytest.mark.parametrize("fine_tuned", [False, True])
def test_the_global_feature_of_a_caption_is_clips_and_its_words_are_berts(
    fine_tuned: bool, place: Path, backbones: Backbones, tmp_path: Path
) -> None:
    rows = np.array([2, 0])
    batch = text_source(CAPTIONS, backbones, tmp_path, fine_tuned=fine_tuned).batch(rows)
    clip = load_text_backbone("clip-text", place / "clip")
    expected = text_feature_table(clip, clip.read_tokenizer(), CAPTIONS, tmp_path).batch(rows).global_features
    assert batch.global_features is not None
    torch.testing.assert_close(batch.global_features, expected)
    if isinstance(batch, LocalFeatures):
        alone = text_source(CAPTIONS, Backbones(backbones.image, backbones.text), tmp_path, fine_tuned=False)
        torch.testing.assert_close(batch.features, alone.batch(rows)[0])
    else:
        assert batch.input_ids.tolist() == backbones.text.read_tokenizer()([CAPTIONS[row] for row in rows])[0].tolist()


def test_no_token_states_of_clip_are_cached(backbones: Backbones, tmp_path: Path) -> None:
    text_source(CAPTIONS, backbones, tmp_path, fine_tuned=True)
    shapes = {file.name: np.load(file).shape for file in tmp_path.rglob("*.npy")}
    expected = {"values.npy": (4, PROJECTION), "global_features.npy": (4, PROJECTION), "lengths.npy": (4,)}
    assert shapes == expected


def test_frozen_words_and_trained_ones_are_encoded_alike(
    checkpoint: Path, backbones: Backbones, tmp_path: Path
) -> None:
    network = load_network(open_checkpoint(checkpoint), backbones)
    rows = np.arange(len(CAPTIONS))
    with torch.inference_mode():
        tokens, states = (
            network.encode_texts(text_source(CAPTIONS, backbones, tmp_path, fine_tuned=fine_tuned).batch(rows))
            for fine_tuned in (True, False)
        )
    torch.testing.assert_close(tokens.embedding, states.embedding, atol=2e-3, rtol=0)  # states are cached in fp16


def test_changed_words_leave_the_sentence_as_it_is(backbones: Backbones, tmp_path: Path) -> None:
    tokens = text_source(CAPTIONS, backbones, tmp_path, fine_tuned=True).batch(np.arange(4))
    assert isinstance(tokens, TokenBatch)
    torch.manual_seed(0)
    changed = change_words(tokens, 0.9, mask_token=14)
    assert not torch.equal(changed.input_ids, tokens.input_ids)
    assert changed.global_features is tokens.global_features


def test_captions_of_several_data_sets_keep_their_sentences(backbones: Backbones, tmp_path: Path) -> None:
    parts = [text_source(CAPTIONS[start : start + 2], backbones, tmp_path, fine_tuned=True) for start in (0, 2)]
    whole = text_source(CAPTIONS, backbones, tmp_path, fine_tuned=True)
    for found, expected in zip(join_texts(parts).batch(np.arange(4)), whole.batch(np.arange(4)), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("given", [True, False])
def test_a_network_takes_sentences_exactly_where_its_config_has_them(
    given: bool, checkpoint: Path, backbones: Backbones
) -> None:
    config = open_checkpoint(checkpoint).config.model
    config = config.model_copy(update={"text_global_backbone": None}) if given else config
    network = AAHR(config, *backbones.dimensions, backbones.text)
    ids = torch.ones(1, 3, dtype=torch.long)
    with pytest.raises(TypeError, match="text_global_backbone"):
        network.encode_texts(TokenBatch(ids, ids, torch.ones(1, PROJECTION) if given else None))


def test_the_graph_follows_the_tokens_and_the_weights_of_clip(artifact: Path, checkpoint: Path, tmp_path: Path) -> None:
    towers = load_towers(open_checkpoint(checkpoint))
    other = load_text_global_backbone("clip-text-embedding", write_clip(tmp_path, seed=1, projection=PROJECTION))
    assert isinstance(towers.text, DualTextTower)
    with Runtime.load(artifact, workers=1) as runtime:
        tokens = runtime.tokenizer(CAPTIONS)
        found = runtime.encode_tokens(tokens)
        swapped = runtime.encode_tokens(tokens._replace(global_tokens=runtime.tokenizer(CAPTIONS[::-1]).global_tokens))
    inputs = {name: torch.from_numpy(array) for name, array in token_feeds(tokens).items()}
    with torch.inference_mode():
        same = towers.text(**inputs)[0].numpy()
        foreign = DualTextTower(towers.text.backbone, other, towers.text.encoder)(**inputs)[0].numpy()
    assert (found * same).sum(axis=1).min() > MIN_COSINE
    assert (found * foreign).sum(axis=1).max() < MIN_COSINE
    assert (found * swapped).sum(axis=1).max() < MIN_COSINE


def test_texts_of_any_length_and_number_equal_each_one_alone_for_service_and_index(artifact: Path) -> None:
    """CLIP ends after 18 tokens and BERT after 20: the longest texts are cut for both, each at its own place."""
    texts = [" ".join(["the red dog"] * (length // 3 + 1)) for length in range(2 * TEXT_CHUNK + 3)]
    with Runtime.load(artifact, workers=2) as runtime:
        found = runtime.encode_texts(texts)
        for row, text in enumerate(texts):
            np.testing.assert_allclose(found[row], runtime.encode_texts([text])[0], atol=1e-5)
        assert runtime.encode_texts([]).shape == (0, 32)
        assert runtime.tokenizer(texts[-1:]).truncated.tolist() == [True]
        assert runtime.tokens_local(runtime.tokenizer(texts[:3])).local_features.shape == (3, 5, 32)
    np.testing.assert_allclose(Encoder(load_model_artifact(artifact)).texts(texts), found, atol=1e-5)


def test_tokens_of_the_words_alone_are_refused_and_good_ones_then_work(artifact: Path) -> None:
    with Runtime.load(artifact, workers=1) as runtime:
        tokens = runtime.tokenizer(CAPTIONS)
        with pytest.raises(InvalidInput, match="make them with its own tokenizer"):
            runtime.encode_tokens(tokens._replace(global_tokens=None))
        assert runtime.encode_tokens(tokens).shape == (4, 32)


def test_an_artifact_names_both_encoders_and_needs_both_tokenizers(artifact: Path, place: Path, tmp_path: Path) -> None:
    found = load_model_artifact(artifact)
    assert (found.manifest.text_backbone, found.manifest.text_global_backbone) == ("bert", "clip-text-embedding")
    for file, source in ((found.tokenizer_file, "bert"), (found.global_tokenizer_file, "clip")):
        assert file.read_bytes() == (place / source / "tokenizer.json").read_bytes()
    damaged = Path(shutil.copytree(artifact, tmp_path / "model"))
    (damaged / "global_tokenizer.json").write_bytes((damaged / "tokenizer.json").read_bytes())
    with pytest.raises(ArtifactCorrupt, match=r"global_tokenizer\.json has"):
        load_model_artifact(damaged)


def test_a_changed_clip_is_refused_by_its_fingerprint(checkpoint: Path, place: Path) -> None:
    moved = place / "clip-aside"
    shutil.move(place / "clip", moved)
    try:
        write_clip(place / "clip", seed=1, projection=PROJECTION)
        with pytest.raises(ArtifactCorrupt, match="trained on a text_global backbone with fingerprint"):
            load_towers(open_checkpoint(checkpoint))
        shutil.rmtree(place / "clip")
        with pytest.raises(ConfigError, match=r"clip of text global backbone 'clip-text-embedding' does not exist"):
            load_towers(open_checkpoint(checkpoint))
    finally:
        shutil.rmtree(place / "clip", ignore_errors=True)
        shutil.move(moved, place / "clip")
    load_towers(open_checkpoint(checkpoint))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trainable=true", r"text_global_backbone: .*'clip-text-embedding' .* set trainable = false"),
        ("names=x", r"text_global_backbone\.names"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(setting: str, message: str, place: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe("paper-f30k", place / "bert", place / "clip", f"model.text_global_backbone.{setting}")


def test_an_encoder_of_words_is_not_one_of_sentences(place: Path) -> None:
    config = recipe("paper-f30k", place / "bert", place / "clip", "model.text_global_backbone.name=bert")
    with pytest.raises(ConfigError, match="no text global backbone 'bert'; choose one of clip-text-embedding"):
        load_backbones(config)
