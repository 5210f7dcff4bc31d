import errno
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from index.sources.folder import find_images, find_matching, matches, split_pattern
from model.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_folders_are_walked_and_paths_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/z.PNG", "a/b/c.webp", "A.jpeg", "Ä 犬.gif")
    found = find_images(tmp_path)
    assert found.uris == ["A.jpeg", "a/b/c.webp", "a/z.PNG", "b.jpg", "Ä 犬.gif"]
    assert (found.rejects, found.ignored) == ([], 0)


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, ".a.jpg", ".thumbnails/b.jpg", "c.jpg")
    assert find_images(tmp_path).uris == ["c.jpg"]


def test_what_is_plainly_not_an_image_is_ignored_and_what_is_unknown_is_tried(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b.json", "c.mp4", "d.zip", "e.csv", "desktop.ini", "Thumbs.db", "f.html", "g.py")
    touch(tmp_path, "h", "i.unknown", "j.svg", "k.heic", "l.tiff")
    found = find_images(tmp_path)
    assert found.uris == ["h", "i.unknown", "j.svg", "k.heic", "l.tiff"]
    assert found.ignored == 9


def test_the_index_within_the_folder_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "out/versions/000001/image.faiss", "other/versions/b.jpg")
    assert find_images(tmp_path, leave_out=tmp_path / "out").uris == ["a.jpg", "other/versions/b.jpg"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "sub/a.jpg")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    found = find_images(tmp_path)
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
    found = find_images(root)
    assert found.uris == ["a.jpg", "within.jpg"]
    assert [(reject.uri, reject.code) for reject in found.rejects] == [
        ("broken.jpg", "not_a_file"),
        ("folder", "outside_folder"),
        ("out.jpg", "outside_folder"),
    ]


def test_a_folder_that_is_itself_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    found = find_images(tmp_path / "link")
    assert (found.root, found.uris) == ((tmp_path / "real").resolve(), ["a.jpg"])


def test_pipes_and_sockets_are_rejected_without_being_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # The path of a socket is short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        found = find_images(tmp_path)
    assert found.uris == []
    assert [reject.code for reject in found.rejects] == ["not_a_file", "not_a_file"]


def test_a_name_that_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    try:
        touch(tmp_path, os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (reject,) = find_images(tmp_path).rejects
    assert (reject.uri, reject.code) == (r"caf\udce9.jpg", "unreadable_name")


def test_a_folder_that_cannot_be_read_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "closed/b.jpg")
    scandir = os.scandir

    def guarded(path: str) -> Any:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = find_images(tmp_path)
    (reject,) = found.rejects
    assert found.uris == ["a.jpg"]
    assert (reject.uri, reject.code, reject.reason) == (
        "closed",
        "unreadable_folder",
        "the folder cannot be read: permission denied",
    )
    with pytest.raises(DataError, match="permission denied"):
        find_images(tmp_path / "closed")


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    for root in (tmp_path / "missing", tmp_path / "a.jpg"):
        with pytest.raises(DataError, match=f"{root.name} is not a folder of images"):
            find_images(root)


def test_a_dying_disk_is_not_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    scandir = os.scandir

    def failing(path: str) -> Any:
        if path.endswith("sub"):
            raise OSError(errno.EIO, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(DataError, match=r"sub cannot be read: input/output error \(EIO\)"):
        find_images(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "uris"),
    [
        ("*.jpg", ["a.jpg"]),
        ("**/*.jpg", ["a.jpg", "x/b.jpg", "x/y/c.jpg"]),
        ("x/**/*.jpg", ["b.jpg", "y/c.jpg"]),
        ("x/*/c.*", ["y/c.jpg", "y/c.png"]),
        ("*/[bc].jpg", ["x/b.jpg"]),
        ("x/y/?.png", ["c.png"]),
        ("**", ["a.jpg", "x/b.jpg", "x/y/c.jpg", "x/y/c.png"]),
    ],
)
def test_patterns_name_images_below_their_longest_plain_part(tmp_path: Path, pattern: str, uris: list[str]) -> None:
    touch(tmp_path, "a.jpg", "x/b.jpg", "x/y/c.jpg", "x/y/c.png", "x/.hidden/d.jpg", "x/notes.txt")
    found = find_matching(f"{tmp_path}/{pattern}")
    assert found.uris == uris
    assert [path for path in found.uris if not (found.root / path).is_file()] == []
    assert sorted(str(path.relative_to(found.root)) for path in _glob(tmp_path, pattern)) == uris


def _glob(folder: Path, pattern: str) -> list[Path]:
    """What the standard library finds: an independent answer; it does not skip hidden folders."""
    wanted = [path for path in folder.glob(pattern if pattern != "**" else "**/*") if path.is_file()]
    return [path for path in wanted if path.suffix != ".txt" and ".hidden" not in path.parts]


def test_a_pattern_without_a_match(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt")
    with pytest.raises(DataError, match=r"\*\.txt matches no image below .* of 1 files none may be an image"):
        find_matching(f"{tmp_path}/*.txt")
    with pytest.raises(DataError, match="missing is not a folder"):
        find_matching(f"{tmp_path}/missing/*.jpg")


def test_parts_of_a_pattern() -> None:
    assert split_pattern("photos/2024/**/*.jpg") == (Path("photos/2024"), ("**", "*.jpg"))
    assert split_pattern("*.jpg") == (Path(), ("*.jpg",))
    assert matches(["a"] * 40, ["**", "a"] * 20 + ["b"]) is False  # and not after 2^20 tries
