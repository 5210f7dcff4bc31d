"""A segment's index as it is searched: from its file or over the vectors, in main memory or on a GPU."""

from pathlib import Path

from index.ann.faiss_file import read_faiss
from index.ann.faiss_index import FaissIndex
from index.ann.flat import FlatIndex
from index.ann.gpu import on_gpu
from index.ann.kinds import KINDS
from index.ann.protocol import AnnIndex
from index.ann.specs import FLAT, AnnSpec
from index.items import Embeddings
from model.errors import ArtifactCorrupt, InvalidInput


def open_ann(spec: AnnSpec, path: Path | None, vectors: Embeddings, *, gpu: bool = True) -> AnnIndex:
    """The index that the spec describes, over vectors [N, D] that stay open as long as it is used.

    A flat index has no file; all others need one. With `gpu`, it is placed on the first GPU if there is one, faiss can
    use it and its free memory is enough. Raises ArtifactCorrupt where file, spec and vectors do not belong together.
    """
    if vectors.shape != (spec.rows, spec.dimension):
        raise ArtifactCorrupt(
            f"the manifest says {spec.rows} rows of {spec.dimension}, the vectors have shape {list(vectors.shape)}; "
            "rebuild the index"
        )
    index = FlatIndex(vectors) if spec.exact else _read(spec, path)
    return on_gpu(index, vectors) if gpu else index


def _read(spec: AnnSpec, path: Path | None) -> FaissIndex:
    kind = KINDS.get(spec.kind)
    if kind is None:
        raise ArtifactCorrupt(f"the kind of index {spec.kind!r} is not one of {', '.join([FLAT, *KINDS])}; rebuild it")
    if path is None:
        raise ArtifactCorrupt(f"an index of kind {spec.kind} has no file; rebuild the index")
    try:
        return FaissIndex(kind, read_faiss(path, kind, spec), spec.search)
    except InvalidInput as error:
        raise ArtifactCorrupt(f"the manifest of {path} is wrong: {error}; rebuild the index") from error
