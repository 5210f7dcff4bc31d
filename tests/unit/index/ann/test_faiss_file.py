import random
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from index.ann import AnnSpec, build_ann, open_ann
from index.ann.kinds import KINDS
from model.errors import ArtifactCorrupt, ArtifactMissing
from tests.unit.index.ann.vectors import clustered

VECTORS = clustered(600)
Written = tuple[Path, AnnSpec]


@pytest.fixture(params=sorted(KINDS))
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    return write(tmp_path, request.param)


def write(folder: Path, kind: str) -> Written:
    index, spec = build_ann(VECTORS, kind=kind, threads=1)
    index.write(folder / "index.faiss")
    return folder / "index.faiss", spec


def test_a_truncated_file_is_refused(written: Written) -> None:
    path, spec = written
    whole = path.read_bytes()
    for length in (0, 3, 4, 40, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtifactCorrupt, match="cannot be read by faiss"):
            open_ann(spec, path, VECTORS)
    path.write_bytes(whole)
    assert open_ann(spec, path, VECTORS).size == 600


def test_a_header_that_claims_more_than_there_is_is_refused(written: Written) -> None:
    path, spec = written
    whole = path.read_bytes()
    size = (600).to_bytes(8, "little")
    at = whole.index(size)  # the number of rows
    for claimed in (1 << 31, 1 << 40, 1 << 62, (1 << 64) - 1):
        path.write_bytes(whole.replace(size, claimed.to_bytes(8, "little")))
        with pytest.raises(ArtifactCorrupt):
            open_ann(spec, path, VECTORS)
    path.write_bytes(whole[:at] + (599).to_bytes(8, "little") + whole[at + 8 :])
    with pytest.raises(ArtifactCorrupt):
        open_ann(spec, path, VECTORS)


def test_edited_headers_raise_and_never_crash(written: Written) -> None:
    path, spec = written
    whole, rng = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(100):
        edited = bytearray(whole)
        for _ in range(4):
            edited[rng.randrange(300)] = rng.randrange(256)
        path.write_bytes(edited)
        try:
            open_ann(spec, path, VECTORS)
        except ArtifactCorrupt:
            refused += 1
    assert refused > 30


@pytest.mark.parametrize("other", sorted(KINDS))
def test_an_index_of_another_kind_is_refused(written: Written, other: str, tmp_path: Path) -> None:
    path, spec = written
    if other == spec.kind:
        assert open_ann(spec, path, VECTORS).kind == other
        return
    (tmp_path / "other").mkdir()
    foreign, _ = write(tmp_path / "other", other)
    with pytest.raises(ArtifactCorrupt, match=r"rebuild the index"):
        open_ann(spec, foreign, VECTORS)


@pytest.mark.parametrize("foreign", [faiss.IndexFlatIP(32), faiss.IndexFlatL2(32), faiss.IndexLSH(32, 8)])
def test_an_index_of_another_class_is_refused(written: Written, foreign: Any) -> None:
    path, spec = written
    faiss.write_index(foreign, str(path))
    with pytest.raises(ArtifactCorrupt, match=f"not an index of kind {spec.kind}"):
        open_ann(spec, path, VECTORS)


def test_another_metric_is_refused(tmp_path: Path) -> None:
    path, spec = write(tmp_path, "ivf-sq8")
    lists = spec.build["nlist"]
    distances = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(32), 32, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2, False
    )
    distances.cp.min_points_per_centroid = 1
    distances.train(VECTORS)
    distances.add(VECTORS)
    faiss.write_index(distances, str(path))
    with pytest.raises(ArtifactCorrupt, match=r"has class .*IndexFlatL2|has metric"):
        open_ann(spec, path, VECTORS)


@pytest.mark.parametrize("change", [{"rows": 599}, {"dimension": 16}, {"rows": 601}])
def test_a_manifest_of_other_rows_is_refused(written: Written, change: dict[str, int]) -> None:
    path, spec = written
    other = spec.model_copy(update=change)
    vectors = np.zeros((other.rows, other.dimension), np.float32)
    with pytest.raises(ArtifactCorrupt, match="manifest says"):
        open_ann(other, path, vectors)
    with pytest.raises(ArtifactCorrupt, match="the vectors have shape"):
        open_ann(other, path, VECTORS)


def test_a_manifest_of_other_parameters_is_refused(written: Written) -> None:
    path, spec = written
    for name in spec.build:
        other = spec.model_copy(update={"build": spec.build | {name: spec.build[name] * 2}})
        with pytest.raises(ArtifactCorrupt, match="its manifest says"):
            open_ann(other, path, VECTORS)
    for wrong in ({"build": {}}, {"search": {"depth": 1}}, {"search": {"nprobe": 10**6}}, {"kind": "lsh"}):
        with pytest.raises(ArtifactCorrupt, match="rebuild"):
            open_ann(spec.model_copy(update=wrong), path, VECTORS)


def test_rows_that_stand_twice_are_refused(tmp_path: Path) -> None:
    path, spec = write(tmp_path, "ivf-sq8")
    index = faiss.read_index(str(path))
    number = next(number for number in range(index.nlist) if index.invlists.list_size(number) > 1)
    rows = faiss.rev_swig_ptr(index.invlists.get_ids(number), index.invlists.list_size(number))
    rows[0] = rows[1]
    faiss.write_index(index, str(path))
    with pytest.raises(ArtifactCorrupt, match="599"):
        open_ann(spec, path, VECTORS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path, spec = write(tmp_path, "rabitq")
    path.unlink()
    with pytest.raises(ArtifactMissing, match=r"index\.faiss"):
        open_ann(spec, path, VECTORS)
    with pytest.raises(ArtifactCorrupt, match="has no file"):
        open_ann(spec, None, VECTORS)


def test_a_disk_that_does_not_take_the_file_is_an_os_error(tmp_path: Path) -> None:
    index, _ = build_ann(VECTORS, kind="rabitq")
    with pytest.raises(OSError, match="cannot write"):
        index.write(tmp_path / "missing" / "index.faiss")
