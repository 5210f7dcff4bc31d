import gzip
import json
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pytest

from index.items import image_item_id
from index.sources import read_source
from index.sources.images import read_image
from model.errors import DataError


def write_tar(path: Path, members: Mapping[str, bytes | str], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # the mode is one of two literals
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    return path


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.TGZ", "w:gz")])
def test_members_are_images_in_their_order_with_what_stands_beside_them(tmp_path: Path, name: str, mode: str) -> None:
    sidecar = {"id": "x", "caption": "a dog", "captions": ["it runs"], "camera": {"iso": 100}}
    members = {
        "./s/2.jpg": b"two",
        "s/2.txt": " a dog \n",
        "s/2.json": json.dumps(sidecar),
        "s/1.png": b"one",
        "s/.hidden.jpg": b"x",
        "s/2.cls": b"5",
        "s/3.txt": "of nothing",
    }
    source = read_source(write_tar(tmp_path / name, members, mode))
    two, one = source.records
    assert (two.uri, two.id, two.payload) == (f"{name}/s/2.jpg", "x", {"camera": {"iso": 100}})
    assert [(caption.text, caption.place) for caption in two.captions] == [
        (" a dog \n", "s/2.txt"),
        ("it runs", "s/2.json"),
    ]
    assert two.captions[0].payload == two.payload
    assert (one.uri, one.id, one.captions, one.payload) == (f"{name}/s/1.png", image_item_id(one.uri), (), {})
    assert (source.ignored, source.left_out) == (1, 1)
    assert [read_image(source.images_root, record.uri) for record in source.records] == [b"two", b"one"]


def test_several_archives_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("shard-1.tar", "sub/shard-2.tar", "shard-0.tar"):
        write_tar(tmp_path / name, {"a.jpg": name})
    source = read_source([tmp_path / "sub" / "shard-2.tar", tmp_path / "shard-1.tar", tmp_path / "shard-0.tar"])
    uris = [record.uri for record in source.records]
    assert uris == ["shard-0.tar/a.jpg", "shard-1.tar/a.jpg", "sub/shard-2.tar/a.jpg"]
    assert read_image(source.images_root, uris[2]) == b"sub/shard-2.tar"
    assert [record.uri for record in read_source(f"{tmp_path}/shard-*.tar").records] == uris[:2]


def test_what_cannot_be_an_image_is_a_reject(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", {"../out.jpg": b"x", "/etc/abs.jpg": b"x", "a.jpg": b"1"})
    with tarfile.open(archive, "a") as tar:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        again = tarfile.TarInfo("a.jpg")
        again.size = 1
        tar.addfile(again, BytesIO(b"2"))
        tar.addfile(tarfile.TarInfo("caf\udce9.jpg"))
    source = read_source(archive)
    assert [record.uri for record in source.records] == ["a.tar/a.jpg"]
    assert [(reject.uri, reject.code) for reject in source.rejects] == [
        ("a.tar/../out.jpg", "outside_folder"),
        ("a.tar/etc/abs.jpg", "outside_folder"),
        ("a.tar/link.jpg", "not_a_file"),
        ("a.tar/a.jpg", "duplicate_name"),
        (r"a.tar/caf\udce9.jpg", "unreadable_name"),
    ]
    assert read_image(source.images_root, "a.tar/a.jpg") == b"1"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.json": "{", "a.jpg": b""}, "a.json: not JSON that can be used"),
        ({"a.json": "[1]", "a.jpg": b""}, "a.json: not an object"),
        ({"a.json": '{"caption": 3}', "a.jpg": b""}, "a.json: caption is 3"),
        ({"a.json": '{"x": ' + "[" * 100 + "]" * 100 + "}"}, "a.json: the payload is nested more than"),
        ({"a.txt": b"\xff", "a.jpg": b""}, "a.txt is not UTF-8 at byte 0"),
        ({"a.txt": "x" * (2**20 + 1), "a.jpg": b""}, "a.txt: 1048577 bytes, at most"),
        (
            {"a.json": '{"id": "x"}', "a.jpg": b"", "b.json": '{"id": "x"}', "b.jpg": b""},
            "the id 'x' is at a.tar/a.jpg",
        ),
    ],
)
def test_a_faulty_member_is_refused_by_name(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_source(write_tar(tmp_path / "a.tar", members))


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 5000, "b.jpg": b"y" * 5000}).read_bytes()
    zipped = gzip.compress(whole)
    for name, content, message in (
        ("cut.tar", whole[:7000], "is not a tar archive that can be read: unexpected end"),
        ("text.tar", b"no archive at all" * 100, "is not a tar archive that can be read"),
        ("empty.tar", b"", "is not a tar archive that can be read"),
        ("cut.tar.gz", zipped[: len(zipped) // 2], "is not a tar archive that can be read"),
        ("text.tgz", b"no archive", "is not a tar archive that can be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name} {message}"):
            read_source(tmp_path / name)
    with pytest.raises(DataError, match=r"missing\.tar cannot be read: no such file"):
        read_source(tmp_path / "missing.tar")
