"""Keys as operators write them; nothing keeps or shows a key itself."""

import hashlib
from pathlib import Path

import pytest

from model.errors import ConfigError
from service.credentials import ApiKey, KeyScope, admin_key, parse_keys, read_keys, read_secret
from service.settings import Settings, read_settings

KEY = "0123456789abcdef"


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def test_keys_are_separated_by_commas_and_lines_and_comments_are_left_out() -> None:
    text = f"# clients\n web:search:{KEY} , loader:WRITE:{KEY}:2,\n\n  # the operator, twice\nroot:admin:{KEY}3\n"
    assert parse_keys(text) == (
        ApiKey("web", KeyScope.SEARCH, digest(KEY)),
        ApiKey("loader", KeyScope.WRITE, digest(f"{KEY}:2")),
        ApiKey("root", KeyScope.ADMIN, digest(f"{KEY}3")),
    )
    assert KeyScope.SEARCH < KeyScope.WRITE < KeyScope.ADMIN


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (KEY, "must look like NAME:SCOPE:KEY"),
        (f"web:{KEY}", "must look like NAME:SCOPE:KEY"),
        (f":search:{KEY}", "must look like NAME:SCOPE:KEY"),
        (f"a b:search:{KEY}", "must look like NAME:SCOPE:KEY"),
        (f"{KEY}:{KEY}:{KEY}", "must have one of the scopes search, write, admin"),
        (f"web::{KEY}", "must have one of the scopes"),
        (f"web:search:{KEY[1:]}", "must have a key of at least 16 characters"),
        (f"web:search:{KEY} {KEY}", "must have a key of visible ASCII characters"),
        (f"web:search:{KEY}é", "must have a key of visible ASCII characters"),
    ],
)
def test_a_bad_entry_is_named_by_its_place_and_never_shown(entry: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"entry 2 {told}") as caught:
        parse_keys(f"first:search:{KEY}-first,{entry}")
    assert KEY not in str(caught.value)


def test_one_key_cannot_be_two_clients() -> None:
    with pytest.raises(ValueError, match="two entries have the same key"):
        parse_keys(f"a:search:{KEY},b:admin:{KEY}")


def test_one_client_may_have_two_keys_while_it_changes_them() -> None:
    assert [key.name for key in parse_keys(f"a:search:{KEY}1,a:search:{KEY}2")] == ["a", "a"]


def test_settings_keep_digests_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# keys\nfile:write:{KEY}-file\n")
    monkeypatch.setenv("AAHR_API_KEYS", f"web:search:{KEY}-web")
    monkeypatch.setenv("AAHR_API_KEYS_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("AAHR_ADMIN_TOKEN", "hidden")
    settings = read_settings(index_dir=Path("index"))
    assert [(key.name, key.scope.name) for key in settings.all_api_keys()] == [
        *(("web", "SEARCH"), ("file", "WRITE"), ("admin", "ADMIN"))
    ]
    assert settings.admin_token == admin_key("hidden")
    for shown in (repr(settings), str(settings), repr(settings.model_dump()), settings.model_dump_json()):
        assert KEY not in shown
        assert "hidden" not in shown


def test_a_bad_key_in_the_environment_is_a_config_error_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AAHR_API_KEYS", f"web:serach:{KEY}")
    with pytest.raises(ConfigError, match="setting AAHR_API_KEYS: value error, entry 1 must have one of") as caught:
        read_settings(index_dir=Path("index"))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"web:search:short", b"\xff", b"x" * 1_000_001])
def test_a_file_of_keys_that_cannot_be_used(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="AAHR_API_KEYS_FILE") as caught:
        read_keys(path)
    assert "short" not in str(caught.value)


@pytest.mark.parametrize("name", ["nothing", "."])
def test_a_file_that_cannot_be_read_is_a_config_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"SOME_FILE names .* which cannot be read"):
        read_secret(tmp_path / name, "SOME_FILE")


def test_the_address_of_redis_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("redis://:hidden@cache/0\n")
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "url"))
    settings = read_settings(index_dir=Path("index"))
    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == "redis://:hidden@cache/0"
    assert "hidden" not in repr(settings)
    monkeypatch.setenv("REDIS_URL", "redis://cache/1")
    with pytest.raises(ConfigError, match="REDIS_URL and REDIS_URL_FILE are both set"):
        read_settings(index_dir=Path("index"))


def test_keys_may_be_given_in_python() -> None:
    settings = Settings.model_validate({"index_dir": "index", "api_keys": f"web:search:{KEY}"})
    assert settings.all_api_keys()[0].digest == digest(KEY)
