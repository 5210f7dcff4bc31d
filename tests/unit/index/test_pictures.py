import os
import socket
from pathlib import Path
from typing import Any

import pytest

from index.pictures import find_pictures
from model.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_folders_are_walked_and_paths_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/z.PNG", "a/b/c.webp", "A.jpeg", "Ä 犬.gif")
    found = find_pictures(tmp_path)
    assert found.uris == ["A.jpeg", "a/b/c.webp", "a/z.PNG", "b.jpg", "Ä 犬.gif"]
    assert (found.rejects, found.ignored) == ([], 0)


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, ".a.jpg", ".thumbnails/b.jpg", "c.jpg")
    assert find_pictures(tmp_path).uris == ["c.jpg"]


def test_what_is_plainly_no_picture_is_ignored_and_what_is_unknown_is_tried(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.json", "c.mp4", "d.zip", "e.csv", "desktop.ini", "Thumbs.db", "f.html", "g.py")
    touch(tmp_path, "h", "i.unknown", "j.svg", "k.heic", "l.tiff")
    found = find_pictures(tmp_path)
    assert found.uris == ["h", "i.unknown", "j.svg", "k.heic", "l.tiff"]
    assert found.ignored == 9


def test_the_index_within_the_folder_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "out/versions/000001/image.faiss", "other/versions/b.jpg")
    assert find_pictures(tmp_path, leave_out=tmp_path / "out").uris == ["a.jpg", "other/versions/b.jpg"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.jpg")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    found = find_pictures(tmp_path)
    assert found.uris == ["sub/a.jpg"]
    assert [(reject.uri, reject.code) for reject in found.rejects] == [("self.jpg", "not_a_file")]


def test_links_are_followed_within_the_folder_and_rejected_out_of_it(tmp_path: Path) -> None:
    root = tmp_path / "images"
    touch(root, "a.jpg")
    touch(tmp_path, "outside/secret.jpg")
    (root / "within.jpg").symlink_to("a.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "outside" / "secret.jpg")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "broken.jpg").symlink_to("missing.jpg")
    (root / "notes.txt").symlink_to("missing.txt")
    found = find_pictures(root)
    assert found.uris == ["a.jpg", "within.jpg"]
    assert [(reject.uri, reject.code) for reject in found.rejects] == [
        ("broken.jpg", "not_a_file"),
        ("folder", "outside_folder"),
        ("out.jpg", "outside_folder"),
    ]


def test_a_folder_that_is_itself_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    found = find_pictures(tmp_path / "link")
    assert (found.root, found.uris) == ((tmp_path / "real").resolve(), ["a.jpg"])


def test_pipes_and_sockets_are_rejected_without_being_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # The path of a socket is short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        found = find_pictures(tmp_path)
    assert found.uris == []
    assert [reject.code for reject in found.rejects] == ["not_a_file", "not_a_file"]


def test_a_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    try:
        touch(tmp_path, os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (reject,) = find_pictures(tmp_path).rejects
    assert (reject.uri, reject.code) == (r"caf\udce9.jpg", "unreadable_name")


def test_a_folder_that_cannot_be_read_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "closed/b.jpg")
    scandir = os.scandir

    def guarded(path: str) -> Any:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = find_pictures(tmp_path)
    (reject,) = found.rejects
    assert found.uris == ["a.jpg"]
    assert (reject.uri, reject.code, reject.reason) == (
        "closed",
        "unreadable_folder",
        "the folder cannot be read: permission denied",
    )
    with pytest.raises(DataError, match="permission denied"):
        find_pictures(tmp_path / "closed")


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    for root in (tmp_path / "missing", tmp_path / "a.jpg"):
        with pytest.raises(DataError, match=f"{root.name} is no folder of pictures"):
            find_pictures(root)
