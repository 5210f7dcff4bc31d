import os
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest

from index.sources import images
from index.sources.archives import ArchiveCache, split_archive_uri
from index.sources.images import ImageReader, read_image
from model.errors import ImageTooLarge, UnreadableImage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.jpg").write_bytes(b"inside")
    (tmp_path / "secret.jpg").write_bytes(b"outside")
    return folder


def write_members(path: Path, **members: bytes) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{name}.jpg")
            info.size = len(data)
            tar.addfile(info, BytesIO(data))


def test_bytes_of_files_and_links_below_the_root(root: Path) -> None:
    (root / "link.jpg").symlink_to("sub/a.jpg")
    assert read_image(root, "sub/a.jpg") == read_image(root, "link.jpg") == b"inside"


@pytest.mark.parametrize(
    "uri", ["../secret.jpg", "sub/../../secret.jpg", "out.jpg", "folder/secret.jpg", "", ".", "a\0"]
)
def test_nothing_outside_of_the_root_is_read(root: Path, uri: str) -> None:
    (root / "out.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "folder").symlink_to(root.parent)
    with pytest.raises(UnreadableImage, match="leads out of the folder"):
        read_image(root, uri)
    with pytest.raises(UnreadableImage, match="leads out of the folder"):
        ImageReader(root).stamp(uri)


def test_an_absolute_uri_is_one_below_the_root(root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image(root, str(root.parent / "secret.jpg"))


def test_an_archive_that_is_a_link_out_of_the_root_is_not_read(root: Path) -> None:
    write_members(root.parent / "out.tar", a=b"outside")
    (root / "link.tar").symlink_to(root.parent / "out.tar")
    with pytest.raises(UnreadableImage, match="leads out"):
        read_image(root, "link.tar/a.jpg")


def test_what_is_not_a_file_is_not_waited_for(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    with pytest.raises(UnreadableImage, match="is not a file"):
        read_image(root, "pipe.jpg")
    with pytest.raises(IsADirectoryError):
        read_image(root, "sub")


def test_too_many_bytes_are_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES", 5)
    with pytest.raises(ImageTooLarge, match=r"a\.jpg has 6 bytes, at most 5 are read"):
        read_image(root, "sub/a.jpg")


def test_a_folder_may_be_called_like_an_archive(root: Path) -> None:
    (root / "x.tar").mkdir()
    (root / "x.tar" / "a.jpg").write_bytes(b"in a folder")
    assert read_image(root, "x.tar/a.jpg") == b"in a folder"
    assert split_archive_uri("s/x.tar.gz/y/a.jpg") == ("s/x.tar.gz", "y/a.jpg")
    assert split_archive_uri("s/x.tar") is None


def test_members_that_are_missing_and_archives_that_changed(root: Path) -> None:
    write_members(root / "x.tar", a=b"one")
    reader = ImageReader(root)
    first = reader.read("x.tar/a.jpg")
    assert first.stamp == reader.stamp("x.tar/a.jpg")
    with pytest.raises(FileNotFoundError):
        reader.read("x.tar/b.jpg")
    write_members(root / "x.tar", b=b"two!", a=b"three")
    assert reader.read("x.tar/a.jpg").data == b"three"
    assert reader.stamp("x.tar/a.jpg") != first.stamp


def test_a_stamp_changes_with_content_and_rights(root: Path) -> None:
    reader = ImageReader(root)
    stamps = [reader.read("sub/a.jpg").stamp]
    (root / "sub" / "a.jpg").chmod(0o600)
    stamps.append(reader.stamp("sub/a.jpg"))
    (root / "sub" / "a.jpg").write_bytes(b"edited")
    stamps.append(reader.stamp("sub/a.jpg"))
    assert len(set(stamps)) == 3
    assert reader.read("sub/a.jpg").stamp == stamps[2]


def test_many_archives_are_read_by_many_threads_with_few_open(root: Path) -> None:
    for at in range(20):
        write_members(root / f"{at:02d}.tar", **{f"m{each}": b"%d-%d" % (at, each) for each in range(5)})
    reader = ImageReader(root, ArchiveCache())
    before = len(os.listdir("/proc/self/fd"))

    def read(number: int) -> bool:
        at, each = number % 20, number // 20 % 5
        return reader.read(f"{at:02d}.tar/m{each}.jpg").data == b"%d-%d" % (at, each)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(1000)))
    assert len(os.listdir("/proc/self/fd")) <= before + 8
    assert threading.active_count() < 8
