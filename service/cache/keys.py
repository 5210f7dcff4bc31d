"""The keys of cached answers: everything an answer depends on, and nothing that differs between replicas."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def shape_digest(schema: Mapping[str, Any]) -> str:
    """First 16 hex digits of the SHA-256 of the JSON schema of what is cached: a new shape gets new keys."""
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()[:16]


def key_prefix(shape: str, model_id: str, index_id: str) -> str:
    """The common prefix of the keys of all answers from one model and one index; the digest of the request follows.

    Both ids are hashes of contents: neither mount path nor version number matters. That of a calibrated model names its
    calibration too.
    """
    return f"search:{shape}:{model_id}:{index_id}:"
