"""How a value lies in Redis: checksum, packing, content. Redis is shared and may hold anything under our keys."""

import zlib
from typing import Final

# Below this, packing costs more time than it saves in transfer and memory; see docs/caching.md.
PACKED_FROM_BYTES: Final = 2048
# No answer is near this size; what claims to be larger once unpacked is not ours.
MAX_BYTES: Final = 64_000_000
_CHECKSUM_BYTES = 4
_PLAIN, _PACKED = b"=", b"z"


def pack(key: str, value: bytes) -> bytes:
    """The bytes to store under this key, zlib-compressed where that makes a large value smaller."""
    kind, content = _PLAIN, value
    if len(value) >= PACKED_FROM_BYTES and len(smaller := zlib.compress(value, 1)) < len(value):
        kind, content = _PACKED, smaller
    return _checksum(key, kind + content) + kind + content


def unpack(key: str, stored: object) -> bytes | None:
    """The value, or None for whatever `pack` did not make for this very key."""
    if not isinstance(stored, bytes) or len(stored) <= _CHECKSUM_BYTES:
        return None
    checksum, rest = stored[:_CHECKSUM_BYTES], stored[_CHECKSUM_BYTES:]
    if checksum != _checksum(key, rest):
        return None
    kind, content = rest[:1], rest[1:]
    if kind == _PLAIN:
        return content
    return _inflated(content) if kind == _PACKED else None


def _checksum(key: str, rest: bytes) -> bytes:
    """Over the key as well: the answer to another command, on a connection out of step, is never taken for ours."""
    return zlib.crc32(rest, zlib.crc32(key.encode())).to_bytes(_CHECKSUM_BYTES)


def _inflated(content: bytes) -> bytes | None:
    inflate = zlib.decompressobj()
    try:
        value = inflate.decompress(content, MAX_BYTES)
    except zlib.error:
        return None
    return value if inflate.eof else None
