from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from index.engines import Embeddings, Rows
from index.engines.faiss import FaissEngine
from index.items import Modality
from index.search import LoadedIndex
from index.validate import validate
from model.errors import ArtifactCorrupt
from tests.unit.index.drafts import make_draft, publish_draft


class LosingEngine:
    """A flat index that never finds its first rows."""

    kind, exact = "flat-ip", True

    def __init__(self, engine: FaissEngine, lost: int) -> None:
        self.engine, self.lost = engine, lost
        self.size, self.dimension = engine.size, engine.dimension

    def search(self, queries: Embeddings, k: int) -> tuple[Embeddings, Rows]:
        scores, rows = self.engine.search(queries, k)
        return scores, np.where(rows < self.lost, -1, rows)

    def vectors(self, rows: Rows) -> Embeddings:
        return self.engine.vectors(rows)

    def write(self, path: Path) -> None:
        raise NotImplementedError(path)


@pytest.fixture
def index(tmp_path: Path) -> LoadedIndex:
    return publish_draft(tmp_path / "index", make_draft(tmp_path, images=80, texts=0))


def with_losses(index: LoadedIndex, rows: NDArray[np.float32], lost: int, kind: str) -> LoadedIndex:
    manifest = index.manifest.model_copy(update={"engines": {Modality.IMAGE: kind}})
    engine = LosingEngine(FaissEngine.build(rows), lost)
    return LoadedIndex(index.directory, manifest, index.gallery, {Modality.IMAGE: engine})


def test_rows_that_do_not_find_themselves_are_refused(index: LoadedIndex, tmp_path: Path) -> None:
    rows = make_draft(tmp_path, images=80).embeddings[Modality.IMAGE]
    embeddings = {Modality.IMAGE: rows}
    validate(with_losses(index, rows, 0, "flat-ip"), embeddings)
    with pytest.raises(ArtifactCorrupt, match="98% of the rows find themselves"):
        validate(with_losses(index, rows, 1, "flat-ip"), embeddings)
    validate(with_losses(index, rows, 1, "hnsw-ip"), embeddings)
    with pytest.raises(ArtifactCorrupt, match="% of the rows find themselves"):
        validate(with_losses(index, rows, 30, "hnsw-ip"), embeddings)


def test_rows_that_came_back_differently_are_refused(index: LoadedIndex, tmp_path: Path) -> None:
    rows = make_draft(tmp_path, images=80).embeddings[Modality.IMAGE]
    with pytest.raises(ArtifactCorrupt, match="other embeddings than it was given"):
        validate(index, {Modality.IMAGE: rows[::-1]})
