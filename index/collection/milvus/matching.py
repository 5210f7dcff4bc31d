"""Which rows a filter holds for: asked of Milvus where it can say, else compared one by one."""

import threading
from collections.abc import Sequence

from cachetools import LRUCache

from index.collection.milvus.expressions import Expression, both, has_any, translate
from index.collection.milvus.ranking import Rows
from index.collection.milvus.schema import ITEM_FIELDS, item_of
from index.filters import Filter, matches
from index.items import Modality

# Primary keys, of about 100 bytes each, of filters that were resolved one by one; the next page asks for them again.
_KEYS_KEPT = 1_000_000
_ANSWERS_KEPT = 1_000


class Matching:
    """Filters over the rows of one modality of a version, which never change; for many threads."""

    def __init__(self, rows: Rows, modality: Modality) -> None:
        self._rows = rows
        self._modality = modality
        self._lock = threading.Lock()
        self._keys: LRUCache[str, list[str]] = LRUCache(_KEYS_KEPT, getsizeof=lambda keys: len(keys) + 1)
        self._has: LRUCache[tuple[str, ...], bool] = LRUCache(_ANSWERS_KEPT)

    def expression(self, filter: Filter) -> Expression:
        """The filter for Milvus."""
        return translate(filter, self._any_row_has)

    def keys(self, filter: Filter, translated: Expression) -> list[str]:
        """The primary keys of the rows that a filter holds for, where its expression holds for more."""
        name = filter.model_dump_json()
        with self._lock:
            kept = self._keys.get(name)
        if kept is not None:
            return kept
        keys = [
            row["pk"]
            for page in self._rows.pages(translated.text, ITEM_FIELDS)
            for row in page
            if matches(filter, item_of(self._modality, row))
        ]
        if len(keys) < _KEYS_KEPT:
            with self._lock:
                self._keys[name] = keys
        return keys

    def _any_row_has(self, tokens: Sequence[str]) -> bool:
        asked = tuple(tokens)
        with self._lock:
            kept = self._has.get(asked)
        if kept is None:
            expression = both(self._rows.visible, has_any(asked))
            kept = bool(self._rows.connection.query(self._rows.name, expression, ("pk",), limit=1))
            with self._lock:
                self._has[asked] = kept
        return kept
