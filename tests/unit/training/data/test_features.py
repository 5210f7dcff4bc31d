"""Features are computed once, whatever happens in between, and equal what the backbone gives."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model.errors import ConfigError, DataError
from model.manifest import sha256_of_file
from model.nn.backbones import load_image_backbone, load_text_backbone
from model.nn.features import LocalFeatures
from model.preprocess import TextTokenizer, decode_image, prepare_images
from tests.unit.training.data.backbones import ColourGrid, WordVectors
from training.data import extraction, features
from training.data.augmentation import PLAIN, View
from training.data.features import image_feature_table, image_feature_tables, text_feature_table
from training.data.table import FeatureTable

TEXTS = ("the red dog runs on the grass", "a dog", "a cat sleeps", "a dog", "the cat runs on the green grass")


@pytest.fixture
def words(tmp_path: Path) -> WordVectors:
    return WordVectors(tmp_path)


def tables(backbone: ColourGrid, paths: list[Path], cache: Path, *, view: View = PLAIN) -> FeatureTable:
    return image_feature_table(backbone, paths, cache, view=view, progress=False)


def text_table(backbone: WordVectors, texts: tuple[str, ...], cache: Path) -> FeatureTable:
    tokenizer = TextTokenizer(backbone.tokenizer_file, backbone.preprocessing.max_length)
    return text_feature_table(backbone, tokenizer, texts, cache, progress=False)


def assert_equal_to_backbone(
    table: FeatureTable, backbone: ColourGrid, paths: list[Path], *, view: View = PLAIN
) -> None:
    assert backbone.preprocessing is not None
    pixels = prepare_images([decode_image(path) for path in paths], backbone.preprocessing)
    with torch.inference_mode():
        expected = backbone(torch.from_numpy(pixels[..., ::-1].copy() if view.mirrored else pixels))
    found = table.batch(np.arange(len(paths)))
    assert (found.features.dtype, found.global_features.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(found.features, expected.features, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.global_features, expected.global_features, atol=1e-6, rtol=1e-6)


def test_a_table_equals_the_backbone(images: list[Path], cache: Path) -> None:
    backbone = ColourGrid()
    assert_equal_to_backbone(tables(backbone, images, cache), backbone, images)


def test_mirror_images_are_other_features(images: list[Path], cache: Path) -> None:
    backbone = ColourGrid()
    assert_equal_to_backbone(tables(backbone, images, cache), backbone, images)
    assert_equal_to_backbone(
        tables(backbone, images, cache, view=View(mirrored=True)), backbone, images, view=View(mirrored=True)
    )


def test_each_file_is_hashed_once_for_all_views(
    images: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    monkeypatch.setattr(features, "sha256_of_file", lambda path: hashed.append(path) or sha256_of_file(path))
    views = (PLAIN, View(mirrored=True), View(crop=0))
    found = image_feature_tables(ColourGrid(), images, cache, views, progress=False)
    assert hashed == images
    for table, view in zip(found[:2], views, strict=False):
        assert_equal_to_backbone(table, ColourGrid(), images, view=view)


def test_a_second_call_computes_nothing(images: list[Path], cache: Path) -> None:
    backbone = ColourGrid()
    first = tables(backbone, images, cache)
    assert backbone.images == 10
    second = tables(backbone, images[::-1], cache)
    assert backbone.images == 10
    torch.testing.assert_close(second.batch(np.array([9])), first.batch(np.array([0])), rtol=0, atol=0)


def test_only_what_is_new_is_computed(images: list[Path], cache: Path) -> None:
    backbone = ColourGrid()
    tables(backbone, images[:6], cache)
    assert_equal_to_backbone(tables(backbone, images, cache), ColourGrid(), images)
    assert backbone.images == 10
    images[0].write_bytes(images[1].read_bytes())
    Image.new("RGB", (8, 8), "red").save(images[2])
    assert_equal_to_backbone(tables(backbone, images, cache), ColourGrid(), images)
    assert backbone.images == 11, "one image is new, the other equals one that was there"


class Interrupted(ColourGrid):
    """Stops as Ctrl-C does once it has seen some images."""

    def forward(self, pixels: torch.Tensor) -> LocalFeatures:
        if self.images >= 6:
            raise KeyboardInterrupt
        return super().forward(pixels)


def test_an_interrupted_run_keeps_what_it_finished(
    images: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "IMAGES_PER_SHARD", 2)
    monkeypatch.setattr(features, "IMAGES_PER_BATCH", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        tables(Interrupted(), images, cache)
    backbone = ColourGrid()
    assert_equal_to_backbone(tables(backbone, images, cache), ColourGrid(), images)
    assert backbone.images == 4
    assert not list(cache.rglob("*.tmp")), "no half-written shard stays"


@pytest.mark.parametrize("file", ["values.npy", "lengths.npy", "global_features.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["cut", "flip a bit", "remove"])
def test_a_damaged_shard_is_computed_again(
    file: str, damage: str, images: list[Path], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables(ColourGrid(), images[:5], cache)
    (victim,) = cache.rglob(file)
    content = bytearray(victim.read_bytes())
    content[-3] ^= 4
    victim.write_bytes(content if damage == "flip a bit" else content[:-3])
    if damage == "remove":
        victim.unlink()
    backbone = ColourGrid()
    assert_equal_to_backbone(tables(backbone, images, cache), ColourGrid(), images)
    assert backbone.images == 10
    assert f"{victim.parent}" in caplog.text
    assert tables(backbone, images, cache) is not None
    assert backbone.images == 10


def test_images_that_cannot_be_read_are_named(images: list[Path], cache: Path) -> None:
    backbone = ColourGrid()
    images[3].write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3\.png cannot be read: .*; replace it or take it out"):
        tables(backbone, images, cache)
    images[3].unlink()
    with pytest.raises(DataError, match=r"3\.png cannot be read: No such file"):
        tables(backbone, images, cache)
    good = images[:3]
    assert_equal_to_backbone(tables(backbone, good, cache), backbone, good)


def test_regions_are_not_images(images: list[Path], cache: Path) -> None:
    with pytest.raises(ConfigError, match="backbone 'regions' takes precomputed regions, not images"):
        image_feature_table(load_image_backbone("regions"), images, cache)


def test_texts_equal_the_backbone_one_by_one(words: WordVectors, cache: Path) -> None:
    found = text_table(words, TEXTS, cache).batch(np.arange(len(TEXTS)))
    tokenizer = TextTokenizer(words.tokenizer_file, 8)
    assert found.mask.sum(dim=1).tolist() == [8, 4, 5, 4, 8], "two texts are cut at the limit"
    for row, text in enumerate(TEXTS):
        tokens = tokenizer([text])
        with torch.inference_mode():
            alone = words(torch.from_numpy(tokens.input_ids), torch.from_numpy(tokens.attention_mask))
        torch.testing.assert_close(found.features[row][found.mask[row]], alone.features[0], atol=1e-2, rtol=1e-3)
        torch.testing.assert_close(found.global_features[row], alone.global_features[0])


def test_equal_texts_are_computed_and_stored_once(words: WordVectors, cache: Path) -> None:
    table = text_table(words, TEXTS, cache)
    assert sum(count for count, _ in words.shapes) == 4
    assert table.places[1].tolist() == table.places[3].tolist()
    words.shapes.clear()
    text_table(words, ("a dog", "a dog sleeps"), cache)
    assert words.shapes == [(1, 5)]


def test_texts_are_sorted_by_length_so_that_no_padding_is_computed(
    words: WordVectors, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "TEXTS_PER_BATCH", 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    text_table(words, TEXTS, cache)
    assert words.shapes == [(2, 5), (2, 8)]


@pytest.mark.parametrize("bad", ["\x00 \t", "dog " * 3000])
def test_a_bad_text_is_named(bad: str, words: WordVectors, cache: Path) -> None:
    with pytest.raises(DataError, match=r"text '(\\x00|dog dog).* cannot be used: the text "):
        text_table(words, ("a dog", bad), cache)
    assert len(text_table(words, ("a dog",), cache)) == 1


def test_many_items_go_through_onnx_runtime_once_exported(
    images: list[Path], words: WordVectors, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = text_table(words, TEXTS, cache / "by-torch").batch(np.arange(5))
    monkeypatch.setattr(extraction, "WORTH_AN_EXPORT", 1)
    backbone = ColourGrid()
    found = tables(backbone, images, cache)
    assert backbone.images < 10, "the graph did the work, the backbone at most its tracing"
    assert_equal_to_backbone(found, ColourGrid(), images)
    torch.testing.assert_close(text_table(words, TEXTS, cache).batch(np.arange(5)), expected, atol=1e-3, rtol=1e-3)
    graphs = {path: path.stat().st_mtime_ns for path in (cache / "graphs").iterdir()}
    assert len(graphs) == 2
    tables(backbone, images, cache, view=View(mirrored=True))
    assert {path: path.stat().st_mtime_ns for path in (cache / "graphs").iterdir()} == graphs


def test_two_processes_may_fill_one_cache(images: list[Path], cache: Path) -> None:
    """Threads stand for them: neither knows what the other has."""
    runs = [threading.Thread(target=tables, args=(ColourGrid(), images, cache)) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    backbone = ColourGrid()
    assert_equal_to_backbone(tables(backbone, images, cache), ColourGrid(), images)
    assert backbone.images == 0


def test_progress_tells_what_is_done(images: list[Path], cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image_feature_table(ColourGrid(), images, cache)
    assert "image features" in capsys.readouterr().err
    image_feature_table(ColourGrid(), images, cache)
    assert capsys.readouterr() == ("", "")


@pytest.mark.photographs
def test_images_and_captions_through_the_mini_backbones(flickr8k: Path, cache: Path) -> None:
    """ONNX Runtime's cells of real images equal torch's; so do the states of captions of all lengths."""
    from training.data.karpathy import load_karpathy

    data = load_karpathy(flickr8k / "dataset_flickr8k.json", flickr8k / "images", "val").subset(np.arange(24))
    image, text = load_image_backbone("efficientnet-lite0"), load_text_backbone("minilm")
    cells = image_feature_table(image, data.image_paths, cache, progress=False).batch(np.arange(24))
    assert image.preprocessing is not None
    pixels = prepare_images([decode_image(path) for path in data.image_paths], image.preprocessing)
    tokenizer = TextTokenizer(text.tokenizer_file, text.preprocessing.max_length)
    states = text_feature_table(text, tokenizer, data.captions, cache, progress=False).batch(np.arange(120))
    tokens = tokenizer(data.captions)
    with torch.inference_mode():
        expected = image(torch.from_numpy(pixels))
        read = text(torch.from_numpy(tokens.input_ids), torch.from_numpy(tokens.attention_mask))
    torch.testing.assert_close(cells.features, expected.features, atol=4e-3, rtol=1e-3)
    torch.testing.assert_close(states.mask, read.mask)
    torch.testing.assert_close(states.features[read.mask], read.features[read.mask], atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(states.global_features, read.global_features, atol=1e-5, rtol=1e-4)
