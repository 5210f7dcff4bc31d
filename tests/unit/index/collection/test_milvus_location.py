"""Locations of Milvus stores, and what is said where nothing usable is there."""

import fcntl
from pathlib import Path

import pytest

from index.collection.milvus import connection
from index.collection.milvus.location import Location, is_milvus_location, parse_location
from index.collection.milvus.store import MilvusStore
from model.errors import ArtifactCorrupt, ArtifactError, ConfigError
from tests.collections_data import Drawing, pending_version
from tests.unit.index.collection.milvus_lite import lite_store, served


@pytest.mark.parametrize(
    ("text", "location", "shown"),
    [
        ("milvus:http://h:1/n", Location("http://h:1", "n"), "milvus:http://h:1/n"),
        ("milvus:https://a.b/n/", Location("https://a.b:19530", "n"), "milvus:https://a.b:19530/n"),
        ("milvus:HTTP://h/db/n", Location("http://h:19530", "n", "db"), "milvus:http://h:19530/db/n"),
        ("milvus:http://[::1]:5/n", Location("http://[::1]:5", "n"), "milvus:http://[::1]:5/n"),
        ("/x/y.db", Location("/x/y.db", "aahr"), "milvus:/x/y.db#aahr"),
        ("milvus:/x/y.db#other", Location("/x/y.db", "other"), "milvus:/x/y.db#other"),
    ],
)
def test_locations_are_read_and_shown(text: str, location: Location, shown: str) -> None:
    assert is_milvus_location(text)
    assert parse_location(text) == location
    assert str(location) == shown
    assert parse_location(shown) == location


def test_a_path_is_of_the_folder_or_of_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_location("milvus:a.db").uri == str(tmp_path / "a.db")
    assert parse_location("~/a.db").uri == "/home/me/a.db"
    assert not is_milvus_location("gallery")


@pytest.mark.parametrize(
    "text",
    [
        "milvus:",
        "milvus:gallery",
        "milvus:http://",
        "milvus:http://host",
        "milvus:http://host/",
        "milvus:http://host:port/n",
        "milvus:http://host:99999/n",
        "milvus:http://host/a/b/c",
        "milvus:http://host/n?x=1",
        "milvus:http://host/na-me",
        "milvus:http://host/1name",
        "milvus:http://host/name_v000001",
        "milvus:http://host/name_g000001_image",
        "milvus:http://host/name_writer",
        "milvus:ftp://host/a.db",
        "milvus:a.db#na me",
        "milvus:http://host/" + "n" * 201,
    ],
)
def test_other_locations_are_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write milvus:|letters, digits|another name") as raised:
        parse_location(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["milvus:http://me:S3cret@host/n", "milvus:http://S3cret@host:x/n", "milvus:tcp://S3cret@h/n"]
)
def test_credentials_in_a_location_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_location(text)
    assert "S3cret" not in str(raised.value)


def test_a_server_that_is_not_there_is_named_without_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.5)
    monkeypatch.setenv("MILVUS_TOKEN", "S3cret")
    with pytest.raises(
        ArtifactError, match=r"milvus:http://127\.0\.0\.1:9/n cannot be opened .*start Milvus"
    ) as raised:
        MilvusStore(parse_location("milvus:http://127.0.0.1:9/n"))
    assert "S3cret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_another_process_has_open_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    path.mkdir()
    with (path / "LOCK").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ArtifactError, match=r"gallery\.db#aahr cannot be opened .*another process"):
            lite_store(path)
    with served(tmp_path):
        assert lite_store(path).versions() == []


def test_what_is_not_a_store_of_ours_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as path:
        store = lite_store(path)
        fields = [
            {"field_name": "pk", "datatype": "VARCHAR", "max_length": 9, "is_primary": True},
            {"field_name": "vector", "datatype": "FLOAT_VECTOR", "dim": 2},
        ]
        store._connection.create("foreign", fields, [])
        store._connection.set_alias("aahr", "foreign", exists=False)
        for call in (store.versions, store.open, store.compact):
            with pytest.raises(ArtifactCorrupt, match="alias aahr names foreign"):
                call()


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as path:
        store = lite_store(path)
        store.publish(pending_version(tmp_path, Drawing(0).rows(2, 0)))
        row = {"pk": "manifest", "manifest": '{"format": "aahr-milvus/9"}', "vector": [1.0, 0.0]}
        store._connection.upsert("aahr_v000001", [row])
        with pytest.raises(ArtifactCorrupt, match="aahr_v000001 does not hold the manifest"):
            store.open()
