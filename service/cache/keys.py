"""The keys of cached answers: everything an answer depends on, and nothing that differs between replicas."""

import hashlib
import json

from service.api.schemas import SearchResult


def shape_of_results() -> str:
    """First 16 hex digits of the SHA-256 of the JSON schema of cached results: a new shape gets new keys."""
    schema = json.dumps(SearchResult.model_json_schema(mode="serialization"), sort_keys=True)
    return hashlib.sha256(schema.encode()).hexdigest()[:16]


def key_prefix(model_id: str, index_id: str) -> str:
    """The common prefix of the keys of all answers from one model and one index; the digest of the request follows.

    Both ids are hashes of contents: neither mount path nor version number matters.
    """
    return f"{shape_of_results()}:{model_id}:{index_id}:"
