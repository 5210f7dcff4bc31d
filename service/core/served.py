"""One version of the index as it is served, with what is computed once for it and used in every answer."""

from dataclasses import dataclass
from typing import Self

from index.collection import Collection
from model.runtime import Runtime
from service.api.schemas import AnsweredBy, IndexRef, ModelRef
from service.cache.keys import key_prefix


@dataclass(frozen=True, slots=True)
class Served:
    """An index, the prefix of the cache keys of its answers, and the JSON that names index and model."""

    index: Collection
    key_prefix: str
    answered_by: bytes

    @classmethod
    def of(cls, index: Collection, runtime: Runtime) -> Self:
        """A version of the index, with a model that is known to belong to it."""
        answered_by = AnsweredBy(
            index=index_ref(index), model=ModelRef(name=runtime.name, model_id=runtime.model_id)
        ).model_dump_json()
        return cls(index, key_prefix(runtime.model_id, index.index_id), answered_by.encode())


def index_ref(index: Collection) -> IndexRef:
    """Which version of which index."""
    return IndexRef(name=index.name, version=index.version)
