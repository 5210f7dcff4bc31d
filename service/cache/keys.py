"""Under which key an answer is kept: what it depends on, and nothing that differs between replicas."""

import hashlib
import json

from service.schemas import SearchResult


def shape_of_results() -> str:
    """First 16 hex digits of the SHA-256 of the JSON schema of what is cached: changed, it starts anew."""
    schema = json.dumps(SearchResult.model_json_schema(mode="serialization"), sort_keys=True)
    return hashlib.sha256(schema.encode()).hexdigest()[:16]


def key_prefix(model_id: str, index_id: str) -> str:
    """What the keys of all answers from one model and one index begin with; the digest of the request follows.

    Both ids stand for contents, wherever these are mounted and whatever number the version has.
    """
    return f"{shape_of_results()}:{model_id}:{index_id}:"
