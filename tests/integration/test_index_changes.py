"""An index changed from the command line: each change is searched at once, and every version can be gone back to."""

import csv
import json
import sys
from pathlib import Path

import pytest

import cli
from index.collection import SearchOptions
from index.items import Modality, image_item_id
from model.runtime import Runtime
from tests.galleries import BuiltGallery, build_gallery, open_index, write_image

IMAGE = Modality.IMAGE


@pytest.fixture
def gallery(tmp_path: Path) -> BuiltGallery:
    return build_gallery(tmp_path)


def aahr(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Exit status of `aahr index ARGUMENTS` in this process."""
    monkeypatch.setattr(sys, "argv", ["aahr", "index", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def found(gallery: BuiltGallery, text: str, target: Modality = IMAGE, limit: int = 9) -> list[str]:
    """The uris that a sentence finds, the best first."""
    with Runtime.load(gallery.model, workers=1) as runtime:
        (hits,) = open_index(gallery.index).search(runtime.encode_texts([text]), target, SearchOptions(limit=limit))
    return [hit.item.uri for hit in hits]


def test_added_images_are_found_at_once_and_only_once(
    gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(gallery.images / "new" / "white.jpg", "white")
    assert aahr(monkeypatch, "add", gallery.index, "--images", gallery.images / "new") == 0
    assert capsys.readouterr().out.startswith("version 000002: 5 images, 4 captions, 0 rejects")
    assert found(gallery, "white")[0] == "new/white.jpg"
    assert aahr(monkeypatch, "add", gallery.index, "--images", gallery.images / "new") == 2
    assert "is in the index already and nothing was added; `aahr index upsert`" in capsys.readouterr().err
    assert open_index(gallery.index).version == "000002"


def test_one_image_is_added_by_its_name(gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(gallery.images / "white [1].jpg", "white")
    assert aahr(monkeypatch, "add", gallery.index, "--images", gallery.images / "white [1].jpg") == 0
    assert found(gallery, "white")[0] == "white [1].jpg"


def test_a_replaced_image_has_its_new_captions_alone(gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(gallery.images / "red.jpg", "white")
    table = gallery.captions.with_name("changed.csv")
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "caption", "year"), ("red.jpg", "a white square", "2024")])
    assert aahr(monkeypatch, "upsert", gallery.index, "--table", table, "--images", gallery.images) == 0
    index = open_index(gallery.index)
    captions = {item.caption for item in index.items(Modality.TEXT) if item.uri == "red.jpg"}
    assert captions == {"a white square"}
    assert index.item(image_item_id("red.jpg")).payload == {"year": "2024"}
    assert found(gallery, "white")[0] == "red.jpg"
    assert (index.count(IMAGE), index.count(Modality.TEXT)) == (4, 4)


def test_deleted_items_are_gone_and_come_back_by_a_rollback(
    gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    red = image_item_id("red.jpg")
    assert aahr(monkeypatch, "delete", gallery.index, red) == 0
    assert "version 000002 (delete): 3 images, 3 captions" in capsys.readouterr().out
    assert "red.jpg" not in found(gallery, "red")
    assert aahr(monkeypatch, "delete", gallery.index, red) == 2
    assert aahr(monkeypatch, "compact", gallery.index) == 0
    assert "red.jpg" not in found(gallery, "red")
    assert aahr(monkeypatch, "versions", gallery.index) == 0
    shown = capsys.readouterr().out
    assert [word in shown for word in ("rebuild", "delete", "compact")] == [True, True, True]
    assert aahr(monkeypatch, "rollback", gallery.index, "--to", "000001") == 0
    assert found(gallery, "red")[0] == "red.jpg"
    assert aahr(monkeypatch, "prune", gallery.index, "--keep", "1") == 0
    assert "removed 1 versions: 000002" in capsys.readouterr().out, "the newest and the current version stay"


def test_images_from_elsewhere_are_refused_with_what_to_do(
    gallery: BuiltGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "elsewhere" / "white.jpg", "white")
    assert aahr(monkeypatch, "add", gallery.index, "--images", tmp_path / "elsewhere") == 2
    assert "are not below" in capsys.readouterr().err
    assert open_index(gallery.index).version == "000001"


def test_filters_and_duplicates_on_the_command_line(
    gallery: BuiltGallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = json.dumps({"must": [{"key": "photographer", "match": {"value": "blue@example"}}]})
    assert aahr(monkeypatch, "search", gallery.index, "red", "--filter", chosen) == 0
    shown = capsys.readouterr().out
    assert "blue.jpg" in shown
    assert "red.jpg" not in shown
    assert aahr(monkeypatch, "search", gallery.index, "red", "--filter", "{") == 2
    assert "--filter is not JSON" in capsys.readouterr().err
    write_image(gallery.images / "again.jpg", "red")
    assert aahr(monkeypatch, "add", gallery.index, "--images", gallery.images / "again.jpg") == 0
    capsys.readouterr()
    assert aahr(monkeypatch, "duplicates", gallery.index, "--json", tmp_path / "groups.json") == 0
    assert "1 groups with 1 duplicates" in capsys.readouterr().out
    (group,) = json.loads((tmp_path / "groups.json").read_text())
    assert set(group["ids"]) == {image_item_id("red.jpg"), image_item_id("again.jpg")}
    assert aahr(monkeypatch, "search", gallery.index, "red", "--unique", "0.99") == 0
    shown = capsys.readouterr().out
    assert ("red.jpg" in shown) + ("again.jpg" in shown) == 1
