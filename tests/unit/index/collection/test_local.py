"""The collection in a directory passes the suite, whatever the kind of its nearest-neighbour index."""

from pathlib import Path

from index.collection.local import LocalStore
from tests.unit.index.collection.suite import CollectionSuite, Subject
from tests.unit.index.collection.trial import StoreSubject


class TestLocalCollection(CollectionSuite):
    """All checks of the suite."""

    def subject(self, root: Path) -> Subject:
        return StoreSubject(LocalStore(root / "index"))
