"""From pictures of every kind and captions to a published index, and back through the command line."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from index.collection import SearchOptions
from index.collection.local import LocalCollection
from index.items import Modality
from model.errors import AahrError, ArtifactError, ArtifactMissing, DataError, UnsupportedQuery
from model.runtime import Runtime
from tests.artifacts import write_colour_model, write_region_model
from tests.galleries import open_index, rebuild_index

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colour_model(tmp_path_factory.mktemp("models") / "colours").directory


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for uri, colour in {"red.png": "red", "sub/green.jpg": "green", "sub/deep/blue.webp": "blue"}.items():
        (folder / uri).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(folder / uri)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "index"


def write_table(path: Path, *rows: tuple[str, str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    return path


def rejects_of(out: Path) -> dict[str, str]:
    lines = (out / "versions" / open_index(out).version / "rejects.jsonl").read_text().splitlines()
    return {line["uri"]: line["code"] for line in map(json.loads, lines)}


def best(index: LocalCollection, model: Path, text: str) -> str:
    with Runtime.load(model, workers=1) as runtime:
        ((hit,),) = index.search(runtime.encode_texts([text]), Modality.IMAGE, SearchOptions(limit=1))
    return hit.item.uri


def test_pictures_of_sub_folders_are_found_by_words(model: Path, images: Path, out: Path) -> None:
    summary = rebuild_index(model, images, out)
    index = open_index(out)
    assert [item.uri for item in index.items(Modality.IMAGE)] == ["red.png", "sub/deep/blue.webp", "sub/green.jpg"]
    assert best(index, model, "a blue picture") == "sub/deep/blue.webp"
    assert best(index, model, "green") == "sub/green.jpg"
    assert index.manifest.images_root == str(images)
    assert index.model_directory == model
    assert summary.info == index.manifest.info(current=True)


def test_the_summary_says_what_was_done(
    model: Path, images: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "broken.jpg").write_bytes(b"nothing")
    (images / "notes.txt").write_text("no picture")
    captions = write_table(out.parent / "c.csv", ("red.png", "red"), ("gone.png", "gone"), ("broken.jpg", "broken"))
    summary = rebuild_index(model, images, out, captions)
    shown = capsys.readouterr()
    assert shown.out == f"{summary}\n"
    assert shown.out.startswith("version 000001: 3 images, 1 captions, 1 rejects, 2 captions left out, ")
    assert shown.out.endswith(" images per second\n")
    assert "4 images in" in shown.err
    assert "1 files of other kinds ignored" in shown.err
    assert "gone.png" in shown.err
    assert "rejected: broken.jpg" in shown.err
    assert summary.rate > 0


def test_what_cannot_be_read_is_rejected_with_the_reason_and_harms_nothing(
    model: Path, images: Path, out: Path
) -> None:
    sound = (images / "sub" / "green.jpg").read_bytes()
    (images / "cut.jpg").write_bytes(sound[: len(sound) // 2])
    (images / "empty.png").write_bytes(b"")
    (images / "text.jpg").write_text("this is not an image")
    (images / "page.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    Image.new("1", (10_000, 5_001)).save(images / "huge.png")
    (images / "out.jpg").symlink_to(REPOSITORY / "LICENSE")
    os.mkfifo(images / "pipe.jpg")
    (images / "notes.txt").write_text("a note")
    with pytest.raises(DataError, match=r"images .* cannot be used, more than the share of 0\.5 .*--max-rejects"):
        rebuild_index(model, images, out)
    rebuild_index(model, images, out, max_rejects=0.7)
    assert rejects_of(out) == {
        "cut.jpg": "unreadable_image",
        "empty.png": "unreadable_image",
        "text.jpg": "unreadable_image",
        "page.svg": "unreadable_image",
        "huge.png": "image_too_large",
        "out.jpg": "outside_folder",
        "pipe.jpg": "not_a_file",
    }
    assert open_index(out).count(Modality.IMAGE) == 3


def test_a_picture_is_named_once_in_a_second_rebuild(model: Path, images: Path, out: Path) -> None:
    rebuild_index(model, images, out)
    before = open_index(out)
    Image.new("RGB", (9, 9), "yellow").save(images / "another.png")
    rebuild_index(model, images, out)
    after = open_index(out)
    assert (before.version, after.version) == ("000001", "000002")
    ids = [{item.id for item in index.items(Modality.IMAGE)} for index in (before, after)]
    assert ids[0] < ids[1]
    assert len(ids[1] - ids[0]) == 1


def test_karpathy_captions_are_embedded_with_their_payload(model: Path, images: Path, out: Path) -> None:
    sentences = [{"raw": "a red dog", "sentid": 0}, {"raw": "a red dog", "sentid": 1}, {"raw": " ", "sentid": 2}]
    dataset = {
        "images": [
            {"filename": "red.png", "split": "test", "facts": {"n": 1}, "sentences": sentences},
            {"filename": "green.jpg", "filepath": "sub", "sentences": [{"raw": "green", "sentid": 3}]},
            {"filename": "absent.jpg", "sentences": [{"raw": "absent", "sentid": 4}]},
        ]
    }
    captions = out.parent / "dataset.json"
    captions.write_text(json.dumps(dataset))
    rebuild_index(model, images, out, captions)
    index = open_index(out)
    red, blue, green = index.items(Modality.IMAGE)
    assert [item.caption for item in index.items(Modality.TEXT)] == ["a red dog", "a red dog", "green"]
    assert [item.payload for item in index.items(Modality.TEXT)] == [{"sentid": 0}, {"sentid": 1}, {"sentid": 3}]
    assert (red.caption, red.payload) == ("a red dog", {"split": "test", "facts": {"n": 1}})
    assert (blue.caption, green.caption, green.payload) == (None, "green", {})
    manifest = index.manifest
    assert (index.count(Modality.IMAGE), index.count(Modality.TEXT)) == (3, 3)
    assert (manifest.rejects, manifest.left_out) == (1, 1)


def test_strict_makes_a_missing_picture_an_error(model: Path, images: Path, out: Path) -> None:
    rows = [("red.png", "red"), *((f"gone{at}.png", "gone") for at in range(5))]
    captions = write_table(out.parent / "c.csv", *rows)
    with pytest.raises(DataError, match=r"5 captions .* gone0\.png, gone1\.png, gone2\.png and 2 more; .*--strict"):
        rebuild_index(model, images, out, captions, strict=True)
    assert not out.exists()
    rebuild_index(model, images, out, captions)
    assert open_index(out).manifest.left_out == 5


@pytest.mark.parametrize(
    ("model_name", "images_name", "captions_name", "error", "message"),
    [
        ("missing", "images", None, ArtifactMissing, "missing is not a model directory"),
        ("images", "images", None, ArtifactMissing, "images is not a model directory"),
        ("regions", "images", None, UnsupportedQuery, "takes precomputed regions"),
        ("model", "missing", None, DataError, "missing is not a folder"),
        ("model", "empty", None, DataError, "no image in .*empty could be embedded; give a folder"),
        ("model", "broken", None, DataError, r"1 of 1 images in .* cannot be used.*: a\.jpg: "),
        ("model", "images", "double.csv", DataError, r"double\.csv, line 3"),
        ("model", "images", "missing.json", DataError, r"missing\.json cannot be read"),
    ],
)
def test_a_bad_rebuild_is_one_error_and_the_old_version_stays(
    model: Path,
    images: Path,
    out: Path,
    model_name: str,
    images_name: str,
    captions_name: str | None,
    error: type[AahrError],
    message: str,
) -> None:
    folder = out.parent
    (folder / "model").symlink_to(model)
    write_region_model(folder / "regions")
    for name in ("empty", "broken"):
        (folder / name).mkdir()
    (folder / "broken" / "a.jpg").write_bytes(b"nothing")
    write_table(folder / "double.csv", ("red.png", "red"), ("red.png", "red"))
    rebuild_index(model, images, out)
    captions = folder / captions_name if captions_name else None
    with pytest.raises(error, match=message) as refused:
        rebuild_index(folder / model_name, folder / images_name, out, captions)
    assert "\n" not in str(refused.value)
    assert open_index(out).version == "000001"
    rebuild_index(model, images, out)
    assert open_index(out).version == "000002"


def test_a_full_disk_is_one_error(model: Path, images: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rebuild_index(model, images, out)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("index.segment.write_metadata", full)
        with pytest.raises(ArtifactError, match="cannot be written to: no space left on device; make room"):
            rebuild_index(model, images, out)
    assert open_index(out).version == "000001"
    rebuild_index(model, images, out)


def test_an_interruption_leaves_the_old_version(
    model: Path, images: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild_index(model, images, out)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("index.embedding.pipeline.merge", interrupt)
        with pytest.raises(KeyboardInterrupt):
            rebuild_index(model, images, out)
    assert open_index(out).version == "000001"
    rebuild_index(model, images, out)


def test_the_index_may_lie_within_the_pictures(model: Path, images: Path) -> None:
    for version in ("000001", "000002"):
        rebuild_index(model, images, images / "index")
        index = open_index(images / "index")
        assert (index.version, index.count(Modality.IMAGE), index.manifest.rejects) == (version, 3, 0)


@pytest.mark.photographs
def test_photographs_with_their_real_captions(model: Path, tmp_path: Path, out: Path, flickr8k: Path) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in sorted((flickr8k / "images").iterdir())[:60]:
        shutil.copy(path, folder)
    summary = rebuild_index(model, folder, out, flickr8k / "dataset_flickr8k.json")
    assert (summary.info.images, summary.info.texts) == (60, 300)
    assert (summary.rejects, summary.left_out) == ([], 40_000 - 300)
    index = open_index(out)
    assert {item.payload["split"] for item in index.items(Modality.IMAGE)} <= {"train", "val", "test"}
    captioned = {item.uri for item in index.items(Modality.TEXT)}
    assert captioned == {item.uri for item in index.items(Modality.IMAGE)}
