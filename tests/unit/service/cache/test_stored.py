"""What Redis holds is ours only if it is whole, and stored under this very key."""

import os
import zlib

import pytest

from service.cache import stored
from service.cache.stored import PACKED_FROM_BYTES, pack, unpack

SMALL = b'{"results":[]}'
LARGE = SMALL * PACKED_FROM_BYTES
RANDOM = os.urandom(2 * PACKED_FROM_BYTES)


@pytest.mark.parametrize("value", [b"", SMALL, LARGE, RANDOM])
def test_what_was_packed_comes_back(value: bytes) -> None:
    assert unpack("key", pack("key", value)) == value


def test_only_large_values_that_get_smaller_are_compressed() -> None:
    assert len(pack("key", SMALL)) == len(SMALL) + 5
    assert len(pack("key", RANDOM)) == len(RANDOM) + 5
    assert len(pack("key", LARGE)) < len(LARGE) / 20


@pytest.mark.parametrize("value", [SMALL, LARGE])
def test_the_value_of_another_key_is_a_miss(value: bytes) -> None:
    assert unpack("other", pack("key", value)) is None


@pytest.mark.parametrize("value", [SMALL, LARGE])
def test_whatever_was_changed_is_a_miss(value: bytes) -> None:
    whole = pack("key", value)
    flipped = (bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]) for at in (0, 3, 4, 5, len(whole) - 1))
    for junk in (b"", whole[:3], whole[:4], whole[:-1], whole + b"}", value, *flipped):
        assert unpack("key", junk) is None


@pytest.mark.parametrize("junk", [None, 7, "text", [b"list"]])
def test_what_is_not_bytes_is_a_miss(junk: object) -> None:
    assert unpack("key", junk) is None


def signed(content: bytes) -> bytes:
    """Junk with the right checksum."""
    return zlib.crc32(content, zlib.crc32(b"key")).to_bytes(4) + content


def test_a_compressed_value_has_to_be_whole_and_of_a_kind_and_size_that_we_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed = zlib.compress(bytes(100_000))
    assert unpack("key", signed(b"z" + packed)) == bytes(100_000)
    assert unpack("key", signed(b"z" + packed[:-1])) is None
    assert unpack("key", signed(b"znot zlib")) is None
    assert unpack("key", signed(b"?" + packed)) is None
    monkeypatch.setattr(stored, "MAX_BYTES", 99_999)
    assert unpack("key", signed(b"z" + packed)) is None
