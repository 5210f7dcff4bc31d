"""`--descriptions` of `aahr index rebuild`, `add` and `upsert`: which are taken, which refused, and what is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from index.collection import SearchOptions
from index.collection.local import LocalCollection
from index.console import print_search
from index.embedding import batches
from index.items import Modality, image_item_id
from index.rebuild import SourceChoice, Summary, change, rebuild
from model.descriptions import Source
from model.errors import ArtifactMismatch, DataError, UnsupportedQuery
from tests.described import SOURCE, ColourDescriber, write_descriptions, write_fusing_model
from tests.galleries import IMAGES, BuiltGallery, build_gallery, open_index, write_image

TEXTS = {uri: f"a {colour} square" for colour, uri in IMAGES.items() if colour != "blue"}


@pytest.fixture
def gallery(tmp_path: Path) -> BuiltGallery:
    """Images and captions, a model that fuses semantics, and an index of them without descriptions."""
    plain = build_gallery(tmp_path)
    model = write_fusing_model(tmp_path / "fusing").directory
    return BuiltGallery(model, plain.images, plain.captions, tmp_path / "index")


@pytest.fixture
def file(gallery: BuiltGallery, tmp_path: Path) -> Path:
    return write_descriptions(tmp_path / "descriptions.jsonl", gallery.images, TEXTS)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An element for each image that is decoded."""
    seen: list[int] = []
    decode: Callable[..., object] = batches.decode_image
    monkeypatch.setattr(batches, "decode_image", lambda *args, **kwargs: seen.append(0) or decode(*args, **kwargs))
    return seen


def build(gallery: BuiltGallery, file: Path | None) -> Summary:
    choice = SourceChoice(images=str(gallery.images), captions=gallery.captions, descriptions=file)
    return rebuild(gallery.model, gallery.index, choice)


def shown(collection: LocalCollection) -> dict[str, str | None]:
    """The descriptions of the images as their hits have them."""
    query = collection.embedding(image_item_id("red.jpg"))[None]
    (hits,) = collection.search(query, Modality.IMAGE, SearchOptions(limit=100))
    return {hit.item.uri: hit.item.description for hit in hits}


def test_descriptions_are_kept_shown_and_counted(
    gallery: BuiltGallery, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build(gallery, file).undescribed == 1
    said = capsys.readouterr()
    assert "0 captions left out, 1 images without a description, " in said.out
    assert f"3 of 4 images are described in {file}" in said.err
    assert shown(open_index(gallery.index)) == {**dict.fromkeys(IMAGES.values()), **TEXTS}
    captions = open_index(gallery.index).items(Modality.TEXT)
    assert [item.description for item in captions] == [None] * 4
    monkeypatch.setenv("COLUMNS", "200")
    print_search(gallery.index, text="a yellow square")
    printed = capsys.readouterr().out
    first = next(line for line in printed.splitlines() if "│ 1 " in line)
    assert "description" in printed
    assert first.count("a yellow square") == 2  # its caption, and what it was described with

    assert build(gallery, None).undescribed == 4
    capsys.readouterr()
    print_search(gallery.index, text="a yellow square")
    assert "description" not in capsys.readouterr().out


def test_a_rebuild_embeds_what_is_described_otherwise_and_nothing_else(
    gallery: BuiltGallery, file: Path, decoded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    first = build(gallery, file).info
    assert len(decoded) == 4
    assert build(gallery, file).info.index_id == first.index_id
    assert len(decoded) == 4
    texts = {**TEXTS, "red.jpg": "a red dog", "blue.jpg": "a blue square"}
    write_descriptions(file, gallery.images, texts)
    assert build(gallery, file).undescribed == 0
    assert len(decoded) == 6
    assert shown(open_index(gallery.index)) == texts
    write_image(gallery.images / "green.jpg", "lime")
    capsys.readouterr()
    assert build(gallery, file).undescribed == 1
    assert "1 image files have changed since they were described" in capsys.readouterr().err
    assert shown(open_index(gallery.index)) == {**texts, "green.jpg": None}


def test_changes_take_descriptions_of_the_folder_that_is_added(gallery: BuiltGallery, file: Path) -> None:
    build(gallery, file)
    later = gallery.images / "later"
    for colour in ("cyan", "magenta"):
        write_image(later / f"{colour}.jpg", colour)
    write_descriptions(file, later, {"cyan.jpg": "a cyan square"})
    choice = SourceChoice(images=str(later), descriptions=file)
    assert change(gallery.index, choice, replace=False).undescribed == 1
    added = {"later/cyan.jpg": "a cyan square", "later/magenta.jpg": None}
    assert shown(open_index(gallery.index)) == {**dict.fromkeys(IMAGES.values()), **TEXTS, **added}
    write_descriptions(file, later, {"magenta.jpg": "a magenta square"})
    assert change(gallery.index, choice, replace=True).undescribed == 1
    added = {"later/cyan.jpg": None, "later/magenta.jpg": "a magenta square"}
    assert shown(open_index(gallery.index)) == {**dict.fromkeys(IMAGES.values()), **TEXTS, **added}


def test_the_describer_of_a_model_is_asked_unless_a_file_is_given(
    gallery: BuiltGallery, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describer = ColourDescriber()
    monkeypatch.setattr("index.rebuild.describer_of_model", lambda _: describer)
    assert build(gallery, file).undescribed == 1
    assert describer.batches == []
    assert build(gallery, None).undescribed == 0
    assert shown(open_index(gallery.index)) == {uri: f"a {colour} square" for colour, uri in IMAGES.items()}


def test_descriptions_that_do_not_fit_are_refused_and_nothing_is_published(
    gallery: BuiltGallery, file: Path, tmp_path: Path
) -> None:
    other = write_descriptions(tmp_path / "other.jsonl", gallery.images, TEXTS, Source("openai:x", "e" * 16))
    said = r"other\.jsonl describes with openai:x \(e{16}\), the model was trained .* by tags \(f{16}\): describe"
    with pytest.raises(ArtifactMismatch, match=said):
        build(gallery, other)
    reworded = write_descriptions(
        tmp_path / "reworded.jsonl", gallery.images, TEXTS, Source(SOURCE.describer, "e" * 16)
    )
    with pytest.raises(ArtifactMismatch, match=r"describes with tags \(e{16}\)"):
        build(gallery, reworded)
    elsewhere = write_descriptions(tmp_path / "elsewhere.jsonl", gallery.images / "more", {"yellow.jpg": "a"})
    with pytest.raises(DataError, match=r"none of the 4 images in .*images, its first is of yellow\.jpg: give"):
        build(gallery, elsewhere)
    with pytest.raises(DataError, match="cannot be read"):
        build(gallery, tmp_path / "missing.jsonl")
    assert not (gallery.index / "CURRENT").exists()
    bare = BuiltGallery(tmp_path / "model", gallery.images, gallery.captions, tmp_path / "gallery-index")
    with pytest.raises(UnsupportedQuery, match=r"colours fuses no semantics: leave out --descriptions .*jsonl"):
        build(bare, file)
    assert build(bare, None).undescribed is None
    assert build(gallery, file).info.version == "000001"
