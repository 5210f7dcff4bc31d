"""What a collection should answer, from a dictionary and loops, and the comparison with what it does answer."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from index.collection import Collection, Hit, SearchOptions
from index.filters import matches
from index.items import Embeddings, Item, Modality
from index.pending import PendingRows


@dataclass(frozen=True)
class Entry:
    """An item with the id of its image and its vector [D]."""

    item: Item
    image_id: str
    vector: NDArray[np.float32]


class Oracle:
    """The rows that a collection should have after the same changes."""

    def __init__(self, rows: Mapping[Modality, PendingRows]) -> None:
        self.entries: dict[str, Entry] = {}
        self.upsert(rows)

    def upsert(self, rows: Mapping[Modality, PendingRows]) -> None:
        for modality, pending in rows.items():
            for row, vector in zip(pending.metadata.to_pylist(), pending.vectors, strict=True):
                texts = (row["id"], modality, row["uri"], row["caption"])
                item = Item(*texts, json.loads(row["payload"]), row["description"])
                self.entries[item.id] = Entry(item, row["image_id"], np.array(vector))

    def delete(self, ids: Iterable[str]) -> None:
        gone = set(ids)
        self.entries = {
            item_id: entry
            for item_id, entry in self.entries.items()
            if item_id not in gone and entry.image_id not in gone
        }

    def of(self, modality: Modality) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.item.modality is modality]

    def items(self, modality: Modality) -> list[Item]:
        return [entry.item for entry in self.of(modality)]

    def vectors(self, modality: Modality, dimension: int) -> Embeddings:
        return np.array([entry.vector for entry in self.of(modality)], np.float32).reshape(-1, dimension)

    def ranked(self, query: NDArray[np.float32], target: Modality, options: SearchOptions) -> list[Hit]:
        """All hits of the best and following pages: falling by score, equal scores by id."""
        entries = [entry for entry in self.of(target) if options.filter is None or matches(options.filter, entry.item)]
        hits = [Hit(score(query, entry.vector), entry.item) for entry in entries]
        lowest = -math.inf if options.score_threshold is None else options.score_threshold
        return sorted((hit for hit in hits if hit.score >= lowest), key=lambda hit: (-hit.score, hit.item.id))


def score(query: NDArray[np.float32], vector: NDArray[np.float32]) -> float:
    """The inner product, summed exactly and rounded to float32."""
    return float(np.float32(math.fsum(float(one) * float(other) for one, other in zip(query, vector, strict=True))))


def check_search(
    collection: Collection,
    oracle: Oracle,
    queries: Embeddings,
    target: Modality,
    options: SearchOptions,
    tolerance: float,
) -> list[list[Hit]]:
    """Compare one call with the oracle as far as `collection.ordering` promises, and return what was found."""
    found = collection.search(queries, target, options)
    assert len(found) == len(queries)
    for query, hits in zip(queries, found, strict=True):
        _check_hits(oracle, query, hits, options, tolerance)
        _check_count(oracle, query, hits, target, options, tolerance)
        ordering = collection.ordering(target)
        if ordering.complete:
            expected = oracle.ranked(query, target, options)[options.offset : options.offset + options.limit]
            if ordering.ties == "id":
                assert [hit.item.id for hit in hits] == [hit.item.id for hit in expected], options
            for hit, wanted in zip(hits, expected, strict=False):  # The counts were compared.
                assert abs(hit.score - wanted.score) <= tolerance, (hit, wanted, options)
    return found


def _check_hits(
    oracle: Oracle, query: NDArray[np.float32], hits: list[Hit], options: SearchOptions, tolerance: float
) -> None:
    """Every hit is an item that is there, allowed and given once, with its score; scores fall."""
    assert len({hit.item.id for hit in hits}) == len(hits), hits
    assert all(one.score >= other.score for one, other in pairwise(hits)), hits
    for hit in hits:
        entry = oracle.entries[hit.item.id]
        assert hit.item == entry.item
        assert abs(hit.score - score(query, entry.vector)) <= tolerance, hit
        assert options.filter is None or matches(options.filter, entry.item), (options.filter, hit)
        assert options.score_threshold is None or hit.score >= options.score_threshold, hit


def _check_count(
    oracle: Oracle,
    query: NDArray[np.float32],
    hits: list[Hit],
    target: Modality,
    options: SearchOptions,
    tolerance: float,
) -> None:
    """As many hits as there are, up to the limit; those within rounding of the threshold may or may not count."""
    fewest, most = (
        min(options.limit, max(0, len(oracle.ranked(query, target, shifted)) - options.offset))
        for shifted in (_shifted(options, tolerance), _shifted(options, -tolerance))
    )
    assert fewest <= len(hits) <= most, (fewest, len(hits), most, options)


def _shifted(options: SearchOptions, by: float) -> SearchOptions:
    if options.score_threshold is None:
        return options
    return replace(options, score_threshold=options.score_threshold + by)
