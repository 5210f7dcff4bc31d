"""The index directory as its readers see it: which version is current, and a version loaded strictly.

CURRENT                      the name of the published version
versions/000001/             manifest.json, image.faiss, text.faiss, gallery.parquet, rejects.jsonl
"""

import re
from collections.abc import Mapping
from pathlib import Path

from index.engines import Engine
from index.engines.faiss import FaissEngine
from index.gallery import GALLERY, Gallery, read_gallery
from index.items import Modality
from index.manifest import IndexManifest
from index.rejects import REJECTS
from index.search import LoadedIndex
from model.errors import ArtifactCorrupt, ArtifactMissing
from model.manifest import MANIFEST, read_manifest, verify_files

CURRENT = "CURRENT"
VERSIONS = "versions"

_EXPECTED = "a version of an index, as `aahr index rebuild` writes it"
_VERSION_NAME = re.compile(r"\d{6,}")


def engine_file(modality: Modality) -> str:
    """The name of the FAISS file of a modality."""
    return f"{modality}.faiss"


def is_version_name(name: str) -> bool:
    """Whether a file name is one that `aahr index rebuild` gives to versions."""
    return _VERSION_NAME.fullmatch(name) is not None


def current_version(directory: Path) -> str:
    """The name of the published version; raises ArtifactMissing without one, ArtifactCorrupt for a foreign CURRENT."""
    path = directory / CURRENT
    try:
        name = path.read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactMissing(
            f"{directory} is no index: it has no {CURRENT}; build one with `aahr index rebuild --out {directory}`"
        ) from None
    if not is_version_name(name):
        raise ArtifactCorrupt(f"{path} says {name!r:.40}, which is no version; write the name of one of {VERSIONS}/")
    return name


def load_index(directory: Path) -> LoadedIndex:
    """Load the published version.

    Raises ArtifactMissing for a directory without one or a missing file, and ArtifactCorrupt for a size, hash, row
    count or dimension that differs from the manifest.
    """
    return load_version(directory, directory / VERSIONS / current_version(directory))


def load_version(directory: Path, version_directory: Path) -> LoadedIndex:
    """Load one version of the index in `directory`, as strictly as `load_index`."""
    manifest = read_manifest(version_directory, IndexManifest, expected=_EXPECTED)
    _check_names(version_directory, manifest)
    verify_files(version_directory, manifest.files)
    gallery = read_gallery(version_directory / GALLERY)
    engines = {
        modality: FaissEngine.read(version_directory / engine_file(modality), kind)
        for modality, kind in manifest.engines.items()
    }
    _check_rows(version_directory, manifest, gallery, engines)
    return LoadedIndex(directory, manifest, gallery, engines)


def _check_names(version_directory: Path, manifest: IndexManifest) -> None:
    path = version_directory / MANIFEST
    needed = {GALLERY, REJECTS, *(engine_file(modality) for modality in manifest.engines)}
    if needed != set(manifest.files):
        listed = ", ".join(sorted(manifest.files))
        raise ArtifactCorrupt(f"{path} lists {listed}, not {', '.join(sorted(needed))}; rebuild the index")
    if is_version_name(version_directory.name) and version_directory.name != manifest.version:
        raise ArtifactCorrupt(f"{path} is of version {manifest.version}; put it back into its own folder")


def _check_rows(
    version_directory: Path, manifest: IndexManifest, gallery: Gallery, engines: Mapping[Modality, Engine]
) -> None:
    for modality in Modality:
        engine, expected = engines.get(modality), manifest.counts.of(modality)
        found = {len(gallery.of(modality)), engine.size if engine else 0}
        if found != {expected}:
            raise ArtifactCorrupt(
                f"{version_directory} holds {sorted(found)} {modality} rows, its manifest says {expected}; "
                "rebuild the index"
            )
        if engine is not None and engine.dimension != manifest.model.dimension:
            raise ArtifactCorrupt(
                f"{version_directory / engine_file(modality)} has dimension {engine.dimension}, "
                f"its manifest says {manifest.model.dimension}; rebuild the index"
            )
