"""A collection in Milvus passes the suite, on Milvus Lite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from index.collection.milvus.location import parse_location
from index.collection.milvus.store import MilvusStore
from tests.unit.index.collection.suite import CollectionSuite
from tests.unit.index.collection.trial import StoreSubject, Subject


class TestMilvusCollection(CollectionSuite):
    """All checks of the suite; each test has a file of its own."""

    seeds = 2

    def subject(self, root: Path) -> Subject:
        return StoreSubject(MilvusStore(parse_location(str(root / "gallery.db"))))
