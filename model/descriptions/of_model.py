"""The describer that travels with a model: what it describes images of a gallery and of queries with, offline."""

from collections.abc import Callable, Mapping
from pathlib import Path

from model.artifact import ModelArtifact
from model.descriptions.file import Source
from model.descriptions.neighbours import NEIGHBOURS_FILES, load_neighbours
from model.descriptions.pixels import PixelDescriber
from model.descriptions.tags import TAGS_FILE, TAGS_GRAPH, load_tags
from model.errors import ArtifactMismatch

_FILES: Mapping[str, tuple[str, ...]] = {"tags": (TAGS_GRAPH, TAGS_FILE), "neighbours": NEIGHBOURS_FILES}
_LOADERS: Mapping[str, Callable[[Path], PixelDescriber]] = {"tags": load_tags, "neighbours": load_neighbours}


def describer_of_model(artifact: ModelArtifact) -> PixelDescriber | None:
    """The describer in a model's directory; None where the model fuses no semantics or has none with it.

    Raises ArtifactMissing and ArtifactCorrupt as its loader, and ArtifactMismatch where it is not the one that the
    model was trained with.
    """
    semantics = artifact.manifest.semantics
    if semantics is None or not _is_there(artifact):
        return None
    found = load_describer(semantics.describer, artifact.directory)
    refuse_other(found.source, semantics.source, str(artifact.directory))
    return found


def load_describer(name: str, directory: Path) -> PixelDescriber:
    """The describer of this name, "tags" or "neighbours", whose files lie in a directory."""
    return _LOADERS[name](directory)


def files_of(name: str) -> tuple[str, ...]:
    """The files of a describer that can travel with a model; none of one that asks a server."""
    return _FILES.get(name, ())


def refuse_other(found: Source, expected: Source, place: str) -> None:
    """Raise ArtifactMismatch where a describer is not the expected one."""
    if found != expected:
        raise ArtifactMismatch(
            f"{place} describes with {found.describer} ({found.prompt_hash}), the model was trained on descriptions by "
            f"{expected.describer} ({expected.prompt_hash}): describe the images with that one"
        )


def _is_there(artifact: ModelArtifact) -> bool:
    semantics = artifact.manifest.semantics
    files = () if semantics is None else files_of(semantics.describer)
    return bool(files) and set(files) <= set(artifact.manifest.files)
