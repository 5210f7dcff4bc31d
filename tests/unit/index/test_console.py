from pathlib import Path

import pytest

from index.console import print_search
from index.items import image_item_id
from model.errors import ArtifactMismatch, ArtifactMissing, EmptyText, InvalidInput, TextTooLong, UnreadableImage
from tests.artifacts import write_colour_model
from tests.galleries import IMAGES, BuiltGallery, build_gallery


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def captionless(tmp_path_factory: pytest.TempPathFactory) -> BuiltGallery:
    return build_gallery(tmp_path_factory.mktemp("captionless"), captions=False)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def first_hit(capsys: pytest.CaptureFixture[str]) -> str:
    return next(line for line in capsys.readouterr().out.splitlines() if "│ 1 " in line)


def test_a_sentence_finds_a_picture(gallery: BuiltGallery, capsys: pytest.CaptureFixture[str]) -> None:
    print_search(gallery.index, text="a blue picture")
    hit = first_hit(capsys)
    assert "img_" in hit
    assert IMAGES["blue"] in hit
    assert "a blue square" in hit


def test_a_picture_finds_a_caption(gallery: BuiltGallery, capsys: pytest.CaptureFixture[str]) -> None:
    print_search(gallery.index, image=gallery.images / IMAGES["yellow"])
    hit = first_hit(capsys)
    assert "txt_" in hit
    assert "a yellow square" in hit


def test_the_target_and_the_limit_are_heeded(gallery: BuiltGallery, capsys: pytest.CaptureFixture[str]) -> None:
    print_search(gallery.index, text="green", target="text", limit=2)
    shown = capsys.readouterr().out
    assert shown.count("txt_") == 2
    assert "note" not in shown


def test_similar_pictures_and_a_note_without_captions(
    captionless: BuiltGallery, capsys: pytest.CaptureFixture[str]
) -> None:
    print_search(captionless.index, image=captionless.images / IMAGES["red"])
    shown = capsys.readouterr().out
    assert "note: this gallery has no captions: these are similar images" in shown
    assert IMAGES["red"] in next(line for line in shown.splitlines() if "│ 1 " in line)
    print_search(captionless.index, text="red", target="text")
    shown = capsys.readouterr().out
    assert "no captions" in shown
    assert "nothing found" in shown


def test_a_long_sentence_is_cut_with_a_note(gallery: BuiltGallery, capsys: pytest.CaptureFixture[str]) -> None:
    print_search(gallery.index, text="red " * 100)
    assert "only its first 16 tokens were read" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["红色的狗 🐕", "أحمر", "red\0", "' OR 1=1 --", "[bold]red[/bold]"])
def test_any_script_is_taken(gallery: BuiltGallery, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_search(gallery.index, text=text)
    assert "img_" in first_hit(capsys)


def test_faulty_queries(gallery: BuiltGallery, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InvalidInput, match="exactly one"):
        print_search(gallery.index)
    with pytest.raises(InvalidInput, match="exactly one"):
        print_search(gallery.index, text="red", image=gallery.images / IMAGES["red"])
    with pytest.raises(InvalidInput, match="'sound' is unknown; it is image or text"):
        print_search(gallery.index, text="red", target="sound")
    with pytest.raises(EmptyText):
        print_search(gallery.index, text=" \0 ")
    with pytest.raises(TextTooLong):
        print_search(gallery.index, text="x" * 10_001)
    for name in ("notes.txt", "missing.png"):
        with pytest.raises(UnreadableImage, match=name):
            print_search(gallery.index, image=tmp_path / name)
    print_search(gallery.index, text="red")
    assert IMAGES["red"] in first_hit(capsys)


def test_a_model_that_moved_can_be_given_and_a_foreign_one_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = build_gallery(tmp_path / "gallery")
    write_colour_model(tmp_path / "foreign", seed=1)
    moved = gallery.model.rename(tmp_path / "moved")
    with pytest.raises(ArtifactMissing, match="model"):
        print_search(gallery.index, text="red")
    with pytest.raises(ArtifactMismatch, match="aahr index rebuild"):
        print_search(gallery.index, text="red", model_directory=tmp_path / "foreign")
    print_search(gallery.index, text="red", model_directory=moved)
    assert IMAGES["red"] in first_hit(capsys)


def test_a_gallery_that_moved_as_a_whole_still_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_gallery(tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    print_search(tmp_path / "after" / "gallery-index", text="red")
    assert IMAGES["red"] in first_hit(capsys)


def test_ids_stay_whole_on_a_narrow_terminal(
    gallery: BuiltGallery, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "64")
    print_search(gallery.index, text="red")
    assert image_item_id(IMAGES["red"]) in first_hit(capsys)
