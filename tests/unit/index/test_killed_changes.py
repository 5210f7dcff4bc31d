"""A change that is killed at any of its calls that write leaves the version before it or the one after it, whole.

CI kills at every fifth call, `make nightly` at all.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index.collection import SearchOptions
from index.collection.local import LocalCollection, LocalStore
from index.items import Modality
from tests.conftest import PROJECT
from tests.pending import image_rows, pending_version, unit_rows, uris_of
from tests.unit.index.killed import EVERY, change

CHANGES = ("rebuild", "upsert", "delete", "compact", "rollback")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with two versions, the second of them a change."""
    directory = tmp_path_factory.mktemp("pristine") / "index"
    store = LocalStore(directory)
    store.publish(pending_version(directory.parent))
    store.upsert({Modality.IMAGE: image_rows(uris_of(2, start=12), seed=3)})
    return directory


def contents(collection: LocalCollection) -> dict[str, bytes]:
    """Everything that a reader can find, by id."""
    queries = unit_rows(4, seed=99)
    found: dict[str, bytes] = {}
    for modality in Modality:
        for hits in collection.search(queries, modality, SearchOptions(limit=100)):
            found |= {hit.item.id: collection.embedding(hit.item.id).tobytes() for hit in hits}
        assert len([1 for item_id in found if collection.item(item_id).modality is modality]) == collection.count(
            modality
        )
    return found


@pytest.mark.parametrize("name", CHANGES)
def test_a_killed_change_leaves_a_whole_version(name: str, pristine: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.unit.index.killed", name, str(pristine), str(tmp_path)]
    run = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    calls = int(run.stdout)
    assert calls > (2 if name == "rollback" else 10), "the change has more calls that write than that"
    before = contents(LocalStore(pristine).open())
    after = contents(LocalStore(tmp_path / str(calls) / "index").open())
    seen = set()
    for place, number in enumerate(range(1, calls + 1, EVERY)):
        directory = tmp_path / str(number) / "index"
        found = contents(LocalStore(directory).open())
        assert found in (before, after), f"{name} killed at its call {number}"
        seen.add(found == after)
        if place % 4 == 3:
            change("compact", directory)
            assert contents(LocalStore(directory).open()) == found, "the next change works"
            assert not list(directory.glob("*/.*")), "what was left is cleared away"
    assert seen == {False, True} or before == after


@pytest.mark.parametrize("seed", range(3))
def test_random_changes_end_where_a_dictionary_does(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    store = LocalStore(tmp_path / "index")
    store.publish(pending_version(tmp_path, images=30, texts=0))
    expected = contents(store.open())
    for step in range(12):
        if random.random() < 0.5:
            rows = image_rows(uris_of(int(random.integers(1, 6)), start=int(random.integers(0, 60))), seed=100 + step)
            store.upsert({Modality.IMAGE: rows})
            expected |= dict(zip(rows.metadata["id"].to_pylist(), map(np.ndarray.tobytes, rows.vectors), strict=True))
        elif random.random() < 0.8:
            gone = random.choice(sorted(expected), size=min(3, len(expected) - 1), replace=False).tolist()
            store.delete(gone)
            expected = {item_id: vector for item_id, vector in expected.items() if item_id not in gone}
        else:
            store.compact()
        assert contents(store.open()) == expected, f"seed {seed}, step {step}"
