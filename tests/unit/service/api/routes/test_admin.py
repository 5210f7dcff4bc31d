"""/admin/*: who may call it, and what it does."""

from pathlib import Path

import pytest

from index.rebuild_progress import progress_file
from tests.artifacts import write_colour_model
from tests.galleries import BuiltGallery, build_gallery, newest_segment, write_image
from tests.unit.service.conftest import make_app, open_client


def test_reload_serves_the_new_version_with_fresh_answers(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with open_client(make_app(gallery.index)) as client:
        query = {"text": "magenta", "limit": 1}
        assert client.post("/search", json=query).json()["results"][0]["uri"] != "magenta.jpg"
        write_image(gallery.images / "magenta.jpg", "magenta")
        gallery.publish()
        name = gallery.index.name
        assert client.post("/admin/reload").json() == {
            "old": {"name": name, "version": "000001"},
            "new": {"name": name, "version": "000002"},
        }
        answer = client.post("/search", json=query).json()
        assert (answer["cached"], answer["results"][0]["uri"]) == (False, "magenta.jpg")
        assert answer["index"]["version"] == "000002"


def test_index_of_another_model_is_a_conflict_and_the_old_one_serves(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    write_colour_model(tmp_path / "other", seed=1)
    with open_client(make_app(gallery.index, model_dir=gallery.model)) as client:
        gallery.publish(model=tmp_path / "other")
        response = client.post("/admin/reload")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "artifact_mismatch")
        assert client.post("/search", json={"text": "red"}).json()["index"]["version"] == "000001"


def test_rollback_serves_the_version_before(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with open_client(make_app(gallery.index)) as client:
        refused = client.post("/admin/rollback")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "artifact_missing")
        gallery.publish(captions=False)
        client.post("/admin/reload")
        assert client.post("/admin/rollback").json()["new"]["version"] == "000001"
        assert client.post("/admin/rollback", json={"version": "000002"}).json()["new"]["version"] == "000002"
        assert client.post("/search", json={"text": "red"}).json()["index"]["version"] == "000002"


def test_versions_are_listed_the_newest_first_with_a_rebuild_under_way(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with open_client(make_app(gallery.index)) as client:
        gallery.publish(captions=False)
        found = client.get("/admin/versions").json()
        assert found["rebuild"] is None
        assert [(each["version"], each["kind"], each["current"]) for each in found["versions"]] == [
            ("000002", "rebuild", True),
            ("000001", "rebuild", False),
        ]
        with progress_file(gallery.index / ".rebuild") as progress:
            progress.follow(lambda *_: lambda _: None)("images", 7)(3)
            progress.publish()
            rebuild = client.get("/admin/versions").json()["rebuild"]
        assert (rebuild["stage"], rebuild["items"]) == ("publishing", {"images": {"done": 3, "total": 7}})


def test_damaged_new_version_is_a_conflict_and_the_old_one_serves(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    with open_client(make_app(gallery.index)) as client:
        gallery.publish(captions=False)
        (newest_segment(gallery) / "vectors.npy").write_bytes(b"nothing")
        response = client.post("/admin/reload")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "artifact_corrupt")
        assert client.post("/search", json={"text": "red"}).json()["results"][0]["uri"] == "red.jpg"


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1", 200), ("127.9.9.9", 200), ("::1", 200), ("192.0.2.7", 403), ("2001:db8::1", 403), ("name", 403)],
)
def test_without_a_token_only_this_machine_is_let_in(gallery: BuiltGallery, host: str, status: int) -> None:
    with open_client(make_app(gallery.index), client=(host, 50000)) as client:
        response = client.post("/admin/reload")
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic secret", "Bearer secre"])
def test_with_a_token_nobody_else_is_let_in(gallery: BuiltGallery, header: str | None) -> None:
    with open_client(make_app(gallery.index, admin_token="secret")) as client:
        response = client.post("/admin/reload", headers={"Authorization": header} if header else {})
        assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"


def test_the_token_lets_in_from_anywhere(gallery: BuiltGallery) -> None:
    with open_client(make_app(gallery.index, admin_token="sécret"), client=("192.0.2.7", 50000)) as client:
        accepted = client.post("/admin/reload", headers={b"Authorization": "Bearer sécret".encode()})
        refused = client.post("/admin/reload", headers={b"Authorization": b"Bearer \xff"})
    assert (accepted.status_code, refused.status_code) == (200, 401)
