"""A GPU takes the exact search where there is one and it has room, else the CPU does; tests of real ones are marked."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import faiss
import numpy as np
import pytest

from index.ann import gpu
from index.ann.batching import BatchingOwner
from index.ann.exact import scan
from index.ann.flat import FlatIndex
from index.items import Embeddings, Rows
from tests.pending import unit_rows

VECTORS = unit_rows(500, dimension=16)
QUERIES = unit_rows(6, dimension=16, seed=9)


class FakeFlat:
    """What faiss's index on a GPU does, on the CPU; notes by which threads it was asked."""

    threads: ClassVar[list[int]] = []
    fails = False

    def __init__(self, resources: Any, dimension: int, settings: Any) -> None:
        assert (resources.temporary, dimension, settings.device) == (gpu.TEMPORARY_BYTES, 16, gpu.DEVICE)
        self.vectors = np.empty((0, dimension), np.float32)

    def add(self, vectors: Embeddings) -> None:
        self.vectors = vectors

    def search(self, queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        FakeFlat.threads.append(threading.get_ident())
        if FakeFlat.fails:
            raise RuntimeError("out of memory")
        return scan(self.vectors, queries, k)


class FakeResources:
    def setTempMemory(self, size: int) -> None:  # noqa: N802 - faiss's name
        self.temporary = size


class FakeSettings:
    device = -1


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device with a gigabyte free, for indexes of any size."""
    monkeypatch.setattr(faiss, "StandardGpuResources", FakeResources, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatConfig", FakeSettings, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", FakeFlat, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(gpu, "free_memory", lambda: 1 << 30)
    monkeypatch.setattr(gpu, "MIN_BYTES", 0)
    FakeFlat.threads, FakeFlat.fails = [], False
    gpu._warn_once.cache_clear()
    yield
    gpu._warn_once.cache_clear()


def test_one_thread_asks_the_device_whoever_searches() -> None:
    index = gpu.on_gpu(FlatIndex(VECTORS), VECTORS)
    assert isinstance(index, gpu.GpuIndex)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: index.search(QUERIES[row % 6 : row % 6 + 1], 5)[1][0], range(64)))
    expected = scan(VECTORS, QUERIES, 5)[1]
    assert all(np.array_equal(rows, expected[row % 6]) for row, rows in enumerate(found))
    assert len(set(FakeFlat.threads)) == 1
    index.close()


def test_filters_and_very_many_results_go_to_the_cpu() -> None:
    index = gpu.on_gpu(FlatIndex(VECTORS), VECTORS)
    allowed = np.arange(500) % 7 == 0
    assert set(index.search(QUERIES, 10, allowed=allowed)[1].ravel() % 7) == {0}
    assert index.search(QUERIES, 3000)[1].shape == (6, 3000)
    index.close()


def test_a_device_that_fails_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    index = gpu.on_gpu(FlatIndex(VECTORS), VECTORS)
    FakeFlat.fails = True
    for _ in range(3):
        np.testing.assert_array_equal(index.search(QUERIES, 5)[1], scan(VECTORS, QUERIES, 5)[1])
    assert len(FakeFlat.threads) == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    index.close()


@pytest.mark.parametrize(
    ("devices", "free", "said"),
    [(0, 1 << 30, "finds no CUDA device"), (1, 1 << 20, "free are 1 MiB"), (1, None, "free are unknown")],
)
def test_without_a_device_or_room_the_cpu_searches_with_one_warning(
    devices: int, free: int | None, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: devices)
    monkeypatch.setattr(gpu, "free_memory", lambda: free)
    index = FlatIndex(VECTORS)
    assert gpu.on_gpu(index, VECTORS) is index
    assert gpu.on_gpu(index, VECTORS) is index
    (record,) = caplog.records
    assert said in record.message


def test_faiss_of_the_cpu_alone_needs_no_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(faiss, "StandardGpuResources")
    index = FlatIndex(VECTORS)
    assert gpu.on_gpu(index, VECTORS) is index
    assert caplog.records == []


def test_what_waits_is_searched_together() -> None:
    began, go_on = threading.Event(), threading.Event()
    sizes: list[int] = []

    def search(queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        sizes.append(len(queries))
        began.set()
        assert go_on.wait(10)
        return scan(VECTORS, queries, k)

    owner = BatchingOwner(search, "test")
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(owner.search, QUERIES[:1], 3)
        assert began.wait(10)
        others = [pool.submit(owner.search, QUERIES[row : row + 1], row + 1) for row in range(4)]
        while owner._requests.qsize() < 4:
            pass
        go_on.set()
        assert first.result()[1].shape == (1, 3)
        for row, other in enumerate(others):
            np.testing.assert_array_equal(other.result()[1], scan(VECTORS, QUERIES[row : row + 1], row + 1)[1])
    assert sizes == [1, 4]
    owner.close()
    with pytest.raises(RuntimeError, match="is closed"):
        owner.search(QUERIES, 1)


@pytest.mark.gpu
def test_a_real_device_finds_what_the_cpu_finds() -> None:
    vectors, queries = unit_rows(50_000, dimension=128), unit_rows(32, dimension=128, seed=9)
    index = gpu.on_gpu(FlatIndex(vectors), vectors)
    assert isinstance(index, gpu.GpuIndex)
    scores, _ = index.search(queries, 10)
    np.testing.assert_allclose(scores, scan(vectors, queries, 10)[0], atol=1e-4)
    index.close()
