import logging
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from index.ann import AnnSpec, build, build_ann, open_ann, rerank
from index.ann.kinds import AUTOMATIC, KINDS
from model.errors import ConfigError
from tests.unit.index.ann.vectors import brute_force, clustered, mean_recall

VECTORS, QUERIES = clustered(3000), clustered(100, seed=5)


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "FLAT_MAX_BYTES", 1 << 16)


def test_few_rows_are_searched_without_an_index(tmp_path: Path) -> None:
    index, spec = build_ann(VECTORS, memory_share=0.1)
    assert (index.kind, spec.kind, spec.exact, spec.recall_at_10, spec.memory_share) == ("flat", "flat", True, 1, 1)
    assert spec.candidates(7) == 7
    assert spec.ms_per_query > 0
    index.write(tmp_path / "index.faiss")
    assert not (tmp_path / "index.faiss").exists()
    again = open_ann(spec, None, VECTORS)
    assert again.search(QUERIES, 3)[1].tolist() == brute_force(VECTORS, QUERIES, 3)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("queries", [None, clustered(300, seed=6)])
def test_many_rows_get_an_index_that_reaches_the_recall(queries: np.ndarray | None) -> None:
    index, spec = build_ann(VECTORS, queries=queries, recall=0.9)
    _, candidates = index.search(QUERIES, spec.candidates(10))
    _, rows = rerank(VECTORS, candidates, QUERIES, 10)
    assert spec.kind == AUTOMATIC[0]
    assert spec.recall_at_10 >= 0.9
    assert mean_recall(rows, brute_force(VECTORS, QUERIES, 10)) >= 0.85


@pytest.mark.usefixtures("small_limit")
def test_memory_decides_on_the_kind() -> None:
    shares = {name: KINDS[name].bytes_per_vector(*VECTORS.shape) / (4 * VECTORS.shape[1]) for name in AUTOMATIC}
    for share in sorted(shares.values()):
        _, spec = build_ann(VECTORS, queries=QUERIES, memory_share=share * 1.001)
        assert spec.memory_share <= share * 1.002
        assert spec.kind == next(name for name in AUTOMATIC if shares[name] <= share * 1.001)
    with pytest.raises(ConfigError, match=r"1\.0% of the vectors' memory; .* needs \d"):
        build_ann(VECTORS, memory_share=0.01)


@pytest.mark.usefixtures("small_limit")
def test_a_recall_of_one_is_an_exact_search() -> None:
    assert build_ann(VECTORS, recall=1.0)[1].kind == "flat"


def test_a_higher_recall_costs_more_work() -> None:
    low = build_ann(VECTORS, queries=QUERIES, kind="ivf-sq8", recall=0.5)[1]
    high = build_ann(VECTORS, queries=QUERIES, kind="ivf-sq8", recall=0.99)[1]
    assert low.search["nprobe"] < high.search["nprobe"]
    assert low.recall_at_10 < high.recall_at_10


@pytest.mark.usefixtures("small_limit")
def test_a_recall_that_nothing_reaches_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build, "AUTOMATIC", ("ivf-pq", "ivf-sq8"))
    monkeypatch.setattr("index.ann.tuning._MULTIPLIERS", (1,))
    with caplog.at_level(logging.WARNING):
        _, spec = build_ann(VECTORS, queries=QUERIES, recall=0.9999)
    assert spec.kind == "ivf-sq8"
    assert 0.9 < spec.recall_at_10 < 0.9999
    assert [record.message for record in caplog.records] == [
        f"recall@10 is {spec.recall_at_10:.3f}, not 1.000, with the best index, ivf-sq8"
    ]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"recall": 0.0}, "recall is 0.0"),
        ({"recall": 1.01}, "recall is 1.01"),
        ({"memory_share": 0.0}, "memory is 0.0"),
        ({"memory_share": float("nan")}, "memory is nan"),
        ({"kind": "annoy"}, "no kind of index 'annoy'; choose one of flat"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build_ann(VECTORS, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("vectors", [VECTORS[:0], VECTORS[0], VECTORS.astype(np.float64), VECTORS[:, ::2]])
def test_what_is_not_rows_of_float32_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match="are not float32 rows"):
        build_ann(vectors)


def test_too_few_rows_for_a_kind_are_refused() -> None:
    with pytest.raises(ConfigError, match="ivf-pq needs 256 rows, there are 255; choose flat"):
        build_ann(VECTORS[:255], kind="ivf-pq")
    assert build_ann(VECTORS[:256], kind="ivf-pq")[0].size == 256


@pytest.mark.parametrize("kind", ["flat", *sorted(set(KINDS) - {"ivf-pq"})])
@pytest.mark.parametrize("rows", [1, 2, 11])
def test_hardly_any_rows_can_be_indexed(kind: str, rows: int) -> None:
    index, spec = build_ann(VECTORS[:rows], kind=kind, threads=1)
    found = index.search(VECTORS[:1], 12)[1]
    assert spec.rows == rows
    assert found.shape == (1, 12)
    assert found[0, 0] == 0
    assert (found[0, rows:] == -1).all()


def test_vectors_are_added_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.save(tmp_path / "vectors.npy", VECTORS)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    build_ann(VECTORS, queries=QUERIES, kind="ivf-sq8")[0].write(tmp_path / "whole")
    monkeypatch.setattr(build, "_BLOCK_ROWS", 700)
    index, _ = build_ann(mapped, queries=QUERIES, kind="ivf-sq8")
    index.write(tmp_path / "blocks")
    assert index.size == 3000
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "blocks").read_bytes()


def test_a_spec_comes_back_from_json_and_is_checked() -> None:
    spec = build_ann(VECTORS, queries=QUERIES, kind="rabitq")[1]
    assert AnnSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.candidates(10) == spec.candidates(3) == 10 * spec.rerank
    assert spec.candidates(25) == 25 * spec.rerank
    for wrong in ({"rerank": 0}, {"rows": 0}, {"recall_at_10": 1.5}, {"more": 1}, {"kind": "flat"}):
        with pytest.raises(ValidationError):
            AnnSpec.model_validate(spec.model_dump() | wrong)
