from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from index.engines import faiss as faiss_engine
from index.engines.faiss import FLAT, HNSW, FaissEngine
from model.errors import ArtifactCorrupt
from tests.unit.index.drafts import unit_rows


def clustered(rows: int, dimension: int = 32) -> NDArray[np.float32]:
    """Rows [N, D] around a few centres, as embeddings of pictures lie."""
    centres = unit_rows(20, dimension=dimension, seed=1)
    noise = np.random.default_rng(2).normal(size=(rows, dimension))
    values = centres[np.arange(rows) % 20] + 0.15 * noise
    unit: NDArray[np.float32] = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return unit


def brute_force(rows: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    return np.array([sorted(range(len(rows)), key=lambda row: -float(query @ rows[row]))[:k] for query in queries])


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_engine, "FLAT_MAX_ROWS", 1000)


def test_a_flat_index_equals_brute_force() -> None:
    rows, queries = unit_rows(300), unit_rows(9, seed=5)
    engine = FaissEngine.build(rows)
    scores, found = engine.search(queries, 10)
    assert (engine.kind, engine.exact, engine.size, engine.dimension) == (FLAT, True, 300, 8)
    np.testing.assert_array_equal(found, brute_force(rows, queries, 10))
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ rows.T, found, axis=1), atol=1e-6)


def test_rows_that_do_not_exist_are_minus_one() -> None:
    _, found = FaissEngine.build(unit_rows(3)).search(unit_rows(1), 5)
    assert (found[0, :3] >= 0).all()
    assert (found[0, 3:] == -1).all()


@pytest.mark.usefixtures("small_limit")
def test_many_rows_are_searched_through_a_graph_with_recall() -> None:
    rows = clustered(3000)
    engine = FaissEngine.build(rows)
    queries = rows[::100]
    _, found = engine.search(queries, 10)
    expected = brute_force(rows, queries, 10)
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, expected, strict=True)])
    assert (engine.kind, engine.exact) == (HNSW, False)
    assert recall >= 0.95


@pytest.mark.usefixtures("small_limit")
def test_a_deep_search_of_a_graph_is_exact() -> None:
    rows = clustered(1200)
    _, found = FaissEngine.build(rows).search(rows[:2], 1200)
    np.testing.assert_array_equal(np.sort(found), np.tile(np.arange(1200), (2, 1)))


@pytest.mark.parametrize("rows", [200, 1500])
@pytest.mark.usefixtures("small_limit")
def test_an_index_comes_back_from_its_file(rows: int, tmp_path: Path) -> None:
    embeddings = clustered(rows)
    engine = FaissEngine.build(embeddings)
    engine.write(tmp_path / "image.faiss")
    again = FaissEngine.read(tmp_path / "image.faiss", engine.kind)
    assert (again.kind, again.size, again.dimension) == (engine.kind, rows, 32)
    for mine, its in zip(engine.search(embeddings[:5], 7), again.search(embeddings[:5], 7), strict=True):
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_array_equal(again.vectors(np.array([3, 1])), embeddings[[3, 1]])


def test_a_file_of_another_kind_or_metric_is_refused(tmp_path: Path) -> None:
    FaissEngine.build(unit_rows(5)).write(tmp_path / "flat.faiss")
    distances = faiss.IndexFlatL2(8)
    faiss.write_index(distances, str(tmp_path / "l2.faiss"))
    with pytest.raises(ArtifactCorrupt, match="IndexFlatIP, not a hnsw-ip"):
        FaissEngine.read(tmp_path / "flat.faiss", HNSW)
    with pytest.raises(ArtifactCorrupt, match="not a flat-ip"):
        FaissEngine.read(tmp_path / "l2.faiss", FLAT)


@pytest.mark.parametrize("length", [0, 3, 40, 100])
def test_a_cut_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "image.faiss"
    FaissEngine.build(unit_rows(5)).write(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ArtifactCorrupt, match="cannot be read by faiss"):
        FaissEngine.read(path, FLAT)


def test_a_disk_that_does_not_take_the_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write"):
        FaissEngine.build(unit_rows(5)).write(tmp_path / "missing" / "image.faiss")


def test_many_threads_get_the_same_answers() -> None:
    engine, queries = FaissEngine.build(unit_rows(500)), unit_rows(64, seed=3)
    expected = [engine.search(query[None], 5)[1].tolist() for query in queries]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda query: engine.search(query[None], 5)[1].tolist(), queries))
    assert found == expected


def test_a_search_runs_on_one_thread() -> None:
    engine = FaissEngine.build(unit_rows(50))
    faiss.omp_set_num_threads(2)
    engine.search(unit_rows(1), 1)
    assert faiss.omp_get_max_threads() == 1


class StandInGpu:
    """What faiss moves to a device, here a wrapper that counts."""

    def __init__(self, index: Any) -> None:
        self.index = index
        self.searches: list[int] = []

    def search(self, queries: NDArray[np.float32], k: int) -> Any:
        self.searches.append(k)
        return self.index.search(queries, k)


def test_a_device_is_used_where_faiss_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[StandInGpu] = []

    def to_gpu(resources: object, device: int, index: Any) -> StandInGpu:
        assert (resources, device) == ("resources", 0)
        moved.append(StandInGpu(index))
        return moved[-1]

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "resources", raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", to_gpu, raising=False)
    rows = unit_rows(3000)
    engine = FaissEngine.build(rows)
    assert engine.search(rows[7:8], 1)[1].tolist() == [[7]]
    assert engine.search(rows[7:8], 2049)[1].shape == (1, 2049)
    assert moved[0].searches == [1], "more neighbours than a device selects are searched on the CPU"
    np.testing.assert_array_equal(engine.vectors(np.array([7])), rows[7:8])


@pytest.mark.gpu
def test_a_device_and_the_cpu_agree() -> None:
    assert faiss.get_num_gpus() > 0
    rows, queries = unit_rows(5000, dimension=64), unit_rows(16, dimension=64, seed=9)
    engine = FaissEngine.build(rows)
    assert engine._gpu_index is not None
    scores, found = engine.search(queries, 10)
    np.testing.assert_array_equal(found, brute_force(rows, queries, 10))
    np.testing.assert_allclose(scores, np.take_along_axis(queries @ rows.T, found, axis=1), atol=1e-3)
