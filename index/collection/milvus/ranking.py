"""The best rows of a collection in Milvus, by exact scores, and by id where those are equal."""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.collection.milvus.connection import PAGE_ROWS, Connection, Row
from index.collection.milvus.expressions import both, quoted
from index.items import Embeddings

# How far the scores of Milvus, summed in float32, may be from the exact ones of vectors of length 1.
_TOLERANCE = 1e-5
# More than was asked for: most ties at the end of a page are settled by one request.
_SLACK = 16
_GROWTH = 4
# Rows with their vectors that one request of several queries returns.
_ROWS_OF_REQUEST = 20_000


class Ranked(NamedTuple):
    """A row by its primary key, its item's id and its score."""

    pk: str
    id: str
    score: float

    @property
    def rank(self) -> tuple[float, str]:
        """What rows are ordered by."""
        return (-self.score, self.id)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one collection in Milvus that a version sees; fields that it is `lacking` are not asked for."""

    connection: Connection
    name: str
    visible: str
    lacking: frozenset[str] = frozenset()

    def query(self, expression: str, fields: Sequence[str]) -> list[Row]:
        """At most PAGE_ROWS rows, also of other versions."""
        return self.connection.query(self.name, expression, self._there(fields))

    def pages(self, expression: str | None, fields: Sequence[str]) -> Iterator[list[Row]]:
        """All rows of the version where an expression holds, in pages."""
        return self.connection.pages(self.name, both(self.visible, expression), self._there(fields))

    def _there(self, fields: Sequence[str]) -> list[str]:
        return [field for field in fields if field not in self.lacking]

    def candidates(
        self, queries: Embeddings, expression: str | None, k: int, params: Mapping[str, int]
    ) -> list[list[Ranked]]:
        """For each query the best `k` rows that an approximate index finds; all are compared where it finds too few."""
        found = [ranked[:k] for part in _parts(queries, k) for ranked, _ in self.search(part, expression, k, params)]
        if all(len(ranked) == k for ranked in found):
            return found
        keys = self.matching_keys(expression)
        return found if len(keys) == min(map(len, found)) else scan(self, queries, keys, k)

    def search(
        self, queries: Embeddings, expression: str | None, k: int, params: Mapping[str, int]
    ) -> list[tuple[list[Ranked], float]]:
        """For each query the best `k` rows with exact scores, ordered, and the lowest score that Milvus had."""
        hits = self.connection.search(
            self.name, list(queries), k, both(self.visible, expression), ("pk", "id", "vector"), params
        )
        return [
            (_scored(query, rows), min((row["distance"] for row in rows), default=-np.inf))
            for query, rows in zip(queries, hits, strict=True)
        ]

    def found(self, field: str, digests: Iterable[str], fields: Sequence[str]) -> Iterator[Row]:
        """The rows that the version sees whose `field` is one of these digests."""
        ordered = sorted(digests)
        for start in range(0, len(ordered), PAGE_ROWS):
            among = f"{field} in {quoted(ordered[start : start + PAGE_ROWS])}"
            for page in self.connection.pages(self.name, both(self.visible, among), fields):
                yield from page

    def matching_keys(self, expression: str | None) -> list[str]:
        """The primary keys of all rows where an expression holds."""
        pages = self.connection.pages(self.name, both(self.visible, expression), ("pk",), PAGE_ROWS * 8)
        return [row["pk"] for page in pages for row in page]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The first `rows` of all rows of the version, of which there are `count`; a search returns at most `window`."""

    rows: int
    count: int
    window: int

    def more(self, k: int) -> int:
        """The number to search for after `k` were not enough."""
        return min(k * _GROWTH, self.count, self.window)


def best_rows(rows: Rows, queries: Embeddings, expression: str | None, wanted: Wanted) -> list[list[Ranked]]:
    """For each query the best of all rows, in order.

    What Milvus returns is ordered by rounded scores, and equal ones as they come. So more rows are asked for until the
    last one is clearly below what is wanted; where even `window` rows are too many of one score, all are compared.
    """
    k = min(wanted.rows + _SLACK, wanted.count, wanted.window)
    best: list[list[Ranked]] = []
    for part in _parts(queries, k):
        for query, (ranked, lowest) in zip(part, rows.search(part, expression, k, {}), strict=True):
            settled = _is_settled(query, ranked, lowest, k, wanted)
            best.append(ranked[: wanted.rows] if settled else _widened(rows, query, expression, k, wanted))
    return best


def _widened(rows: Rows, query: NDArray[np.float32], expression: str | None, k: int, wanted: Wanted) -> list[Ranked]:
    while k < wanted.more(k):
        k = wanted.more(k)
        [(ranked, lowest)] = rows.search(query[None], expression, k, {})
        if _is_settled(query, ranked, lowest, k, wanted):
            return ranked[: wanted.rows]
    return scan(rows, query[None], rows.matching_keys(expression), wanted.rows)[0]


def _is_settled(query: NDArray[np.float32], ranked: list[Ranked], lowest: float, k: int, wanted: Wanted) -> bool:
    """Whether no row that was not returned can be among the wanted ones."""
    if len(ranked) < k or k == wanted.count:
        return True
    tolerance = _TOLERANCE * max(1.0, float(np.linalg.norm(query)))
    return ranked[wanted.rows - 1].score > lowest + tolerance


def scan(rows: Rows, queries: Embeddings, keys: Sequence[str], wanted: int) -> list[list[Ranked]]:
    """For each query the `wanted` best among the rows of these primary keys, by comparing all of them."""
    best: list[list[Ranked]] = [[] for _ in queries]
    for start in range(0, len(keys), PAGE_ROWS):
        page = rows.query(f"pk in {quoted(keys[start : start + PAGE_ROWS])}", ("pk", "id", "vector"))
        for number, query in enumerate(queries):
            best[number] = heapq.nsmallest(wanted, [*best[number], *_scored(query, page)], key=lambda row: row.rank)
    return best


def _scored(query: NDArray[np.float32], rows: Iterable[Row]) -> list[Ranked]:
    """The rows with exact scores, in order: float64 sums, rounded to float32, so that equal rows score equally."""
    rows = list(rows)
    if not rows:
        return []
    vectors = np.array([row["vector"] for row in rows], np.float32).astype(np.float64)
    scores = (vectors * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    ranked = [Ranked(row["pk"], row["id"], float(score)) for row, score in zip(rows, scores, strict=True)]
    return sorted(ranked, key=lambda row: row.rank)


def _parts(queries: Embeddings, k: int) -> Iterator[Embeddings]:
    size = max(1, _ROWS_OF_REQUEST // k)
    for start in range(0, len(queries), size):
        yield queries[start : start + size]
