"""Images below the images root under their hash: whole, once, and never in the place of another file."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from index.uploads import store_uploads, upload_uri
from model.errors import ImagesNotWritable, StorageFull, UnreadableImage
from tests.galleries import image_bytes

PNG = image_bytes("red", "PNG")


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif")],
)
def test_the_name_is_hash_and_kind(kind: str, suffix: str) -> None:
    content = image_bytes("red", kind)
    assert upload_uri(content) == f"uploads/{hashlib.sha256(content).hexdigest()}.{suffix}"


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"<svg/>"])
def test_what_is_not_an_image_has_no_name(content: bytes) -> None:
    with pytest.raises(UnreadableImage):
        upload_uri(content)


def test_equal_images_are_stored_once(tmp_path: Path) -> None:
    uri = upload_uri(PNG)
    store_uploads(tmp_path, {uri: PNG})
    first = (tmp_path / uri).stat()
    store_uploads(tmp_path, {uri: PNG})
    assert (tmp_path / uri).read_bytes() == PNG
    assert (tmp_path / uri).stat().st_mtime_ns == first.st_mtime_ns
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [Path(uri).name]


def test_another_file_of_the_name_is_left_alone(tmp_path: Path) -> None:
    uri = upload_uri(PNG)
    (tmp_path / "uploads").mkdir()
    (tmp_path / uri).write_bytes(b"something else")
    with pytest.raises(ImagesNotWritable, match="something else has its name"):
        store_uploads(tmp_path, {uri: PNG})
    assert (tmp_path / uri).read_bytes() == b"something else"


def test_links_are_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "uploads").symlink_to(outside)
    with pytest.raises(ImagesNotWritable, match="not a folder below the images root"):
        store_uploads(root, {upload_uri(PNG): PNG})
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("kind", ["archive", "nothing"])
def test_a_root_that_is_not_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "images.tar"
    if kind == "archive":
        root.write_bytes(b"")
    with pytest.raises(ImagesNotWritable, match="is not a folder"):
        store_uploads(root, {upload_uri(PNG): PNG})


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageFull), (errno.EROFS, ImagesNotWritable)])
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "uploads").mkdir()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(kind):
        store_uploads(tmp_path, {upload_uri(PNG): PNG})
    assert list((tmp_path / "uploads").iterdir()) == []
