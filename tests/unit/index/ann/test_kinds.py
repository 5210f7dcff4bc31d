from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest

from index.ann import AnnIndex, AnnSpec, build_ann, open_ann, rerank
from index.ann.kinds import KINDS
from model.errors import InvalidInput
from tests.unit.index.ann.vectors import brute_force, clustered, mean_recall

VECTORS, QUERIES = clustered(2000), clustered(40, seed=5)
PARAMETER = {"hnsw": "efSearch", "hnsw-sq8": "efSearch", "rabitq": "nprobe", "ivf-sq8": "nprobe", "ivf-pq": "nprobe"}

Built = tuple[AnnIndex, AnnSpec]


@pytest.fixture(scope="module", params=sorted(KINDS))
def built(request: pytest.FixtureRequest) -> Built:
    return build_ann(VECTORS, queries=clustered(200, seed=6), kind=request.param, threads=1)


def test_recall_after_re_ranking_is_as_high_as_was_asked_for(built: Built) -> None:
    index, spec = built
    _, candidates = index.search(QUERIES, spec.candidates(10))
    _, rows = rerank(VECTORS, candidates, QUERIES, 10)
    assert (index.kind, index.exact, index.size, index.dimension) == (spec.kind, False, 2000, 32)
    assert spec.recall_at_10 >= 0.95
    assert mean_recall(rows, brute_force(VECTORS, QUERIES, 10)) >= 0.93


def test_scores_fall_and_lie_near_the_inner_products(built: Built) -> None:
    scores, rows = built[0].search(QUERIES, 5)
    exact = np.take_along_axis(QUERIES @ VECTORS.T, rows, 1)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert np.abs(scores - exact).mean() < 0.15


def test_more_thorough_parameters_find_more(built: Built) -> None:
    index, name = built[0], PARAMETER[built[1].kind]
    expected = brute_force(VECTORS, QUERIES, 10)
    narrow, wide = (
        mean_recall(index.search(QUERIES, 100, params={name: value})[1], expected)
        for value in (1, {"efSearch": 4096, "nprobe": built[1].build.get("nlist", 1)}[name])
    )
    assert wide > 0.95
    assert narrow <= wide
    if name == "nprobe":
        assert narrow < 0.9, "one list holds only some of the best"


@pytest.mark.parametrize("share", [0.0, 0.003, 0.1, 0.6])
@pytest.mark.parametrize("count", [1, 40])
def test_never_a_row_that_is_not_allowed(built: Built, share: float, count: int) -> None:
    allowed = np.random.default_rng(1).random(2000) < share
    scores, rows = built[0].search(QUERIES[:count], 20, allowed=allowed)
    assert allowed[rows[rows >= 0]].all()
    assert (scores[rows < 0] == -np.inf).all()
    assert np.isfinite(scores[rows >= 0]).all()
    assert (np.sort(rows < 0, axis=1) == (rows < 0)).all(), "-1 stands behind the last row only"
    for line in rows:
        assert len(set(line[line >= 0])) == (line >= 0).sum()


def test_a_filter_of_many_rows_still_finds_the_best_of_them(built: Built) -> None:
    allowed = np.random.default_rng(1).random(2000) < 0.5
    _, candidates = built[0].search(QUERIES, built[1].candidates(10), allowed=allowed)
    _, rows = rerank(VECTORS, candidates, QUERIES, 10)
    assert mean_recall(rows, brute_force(VECTORS, QUERIES, 10, allowed)) >= 0.85


def test_k_beyond_the_rows_is_answered(built: Built) -> None:
    scores, rows = built[0].search(QUERIES[:2], 2500)
    assert rows.shape == scores.shape == (2, 2500)
    assert (rows[:, 2000:] == -1).all()
    assert (rows[:, :1000] >= 0).all()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"probes": 3}, "has no search parameter 'probes'"),
        ({"": 1}, "''"),
        ({"nprobe": 0}, "nprobe"),
        ({"efSearch": -1}, "efSearch"),
    ],
)
def test_unknown_parameters_and_values_are_refused_and_change_nothing(
    built: Built, params: dict[str, int], said: str
) -> None:
    before = built[0].search(QUERIES, 5)[1]
    with pytest.raises(InvalidInput, match=said):
        built[0].search(QUERIES, 5, params=params)
    np.testing.assert_array_equal(built[0].search(QUERIES, 5)[1], before)


def test_threads_with_other_parameters_do_not_meet(built: Built) -> None:
    index, name = built[0], PARAMETER[built[1].kind]
    most = {"efSearch": 500, "nprobe": built[1].build.get("nlist", 1)}[name]
    values = [1, most] * 100
    expected = {value: index.search(QUERIES[:4], 30, params={name: value})[1] for value in set(values)}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda value: index.search(QUERIES[:4], 30, params={name: value})[1], values))
    for value, rows in zip(values, found, strict=True):
        np.testing.assert_array_equal(rows, expected[value])
    assert (expected[1] != expected[most]).any()


def test_a_search_uses_one_thread(built: Built) -> None:
    faiss.omp_set_num_threads(2)
    built[0].search(QUERIES, 1)
    assert faiss.omp_get_max_threads() == 1


def test_an_index_comes_back_from_its_file_with_its_parameters(built: Built, tmp_path: Path) -> None:
    index, spec = built
    index.write(tmp_path / "index.faiss")
    again = open_ann(AnnSpec.model_validate_json(spec.model_dump_json()), tmp_path / "index.faiss", VECTORS)
    assert (again.kind, again.exact, again.size, again.dimension) == (spec.kind, False, 2000, 32)
    for mine, its in zip(index.search(QUERIES, 7), again.search(QUERIES, 7), strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_same_seed_builds_the_same_file(kind: str, tmp_path: Path) -> None:
    vectors = VECTORS[:800]
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        build_ann(vectors, queries=QUERIES, kind=kind, threads=1, seed=seed)[0].write(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_memory_that_is_said_is_that_of_the_file(kind: str, tmp_path: Path) -> None:
    vectors = clustered(6000, 64)
    index, spec = build_ann(vectors, queries=QUERIES[:, :1].repeat(64, 1), kind=kind)
    index.write(tmp_path / "index.faiss")
    assert spec.bytes_per_vector == pytest.approx((tmp_path / "index.faiss").stat().st_size / 6000, rel=0.1)
