"""Write a new version of an index, check it, and make it the current one: all or nothing."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from index.draft import Draft
from index.engines.faiss import FaissEngine
from index.gallery import GALLERY, write_gallery
from index.manifest import INDEX_FORMAT, Counts, IndexManifest
from index.rejects import REJECTS, write_rejects
from index.store import CURRENT, VERSIONS, current_version, engine_file, is_version_name, load_version
from index.validate import validate
from model.errors import ArtifactError, ArtifactMissing
from model.manifest import MANIFEST, describe_files, published_directory, write_text_atomically

KEPT_VERSIONS = 3

_LOCK = ".lock"


@contextmanager
def rebuild_lock(directory: Path) -> Iterator[None]:
    """Hold the index directory for one rebuild; the lock goes with the process, however that ends.

    Raises ArtifactError where another rebuild holds it, where the directory holds something that is no index, and
    where it cannot be written to.
    """
    _refuse_foreign(directory)
    with _writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / _LOCK).open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ArtifactError(
                f"{directory} is being rebuilt by process {file.read().strip() or '?'}; wait until that has ended"
            ) from error
        file.truncate(0)
        print(os.getpid(), file=file, flush=True)
        yield


def publish(directory: Path, draft: Draft) -> IndexManifest:
    """Write a draft as the next version, under the lock of the caller; the last three versions are kept.

    Until CURRENT is replaced, which is one rename, every reader sees the old version. Raises ArtifactError where the
    directory cannot be written to or what was written does not answer as it should; then nothing has changed.
    """
    versions = directory / VERSIONS
    with _writing(directory):
        versions.mkdir(exist_ok=True)
        version = _next_version(directory)
        with published_directory(versions / version) as staging:
            manifest = _write(staging, directory, version, draft)
            validate(load_version(directory, staging), draft.embeddings)
        write_text_atomically(directory / CURRENT, f"{version}\n")
    _prune(versions, current=version)
    return manifest


def _write(staging: Path, directory: Path, version: str, draft: Draft) -> IndexManifest:
    engines = {modality: FaissEngine.build(rows) for modality, rows in draft.embeddings.items() if len(rows)}
    for modality, engine in engines.items():
        engine.write(staging / engine_file(modality))
    write_gallery(staging / GALLERY, draft.gallery)
    write_rejects(staging / REJECTS, draft.rejects)
    manifest = IndexManifest(
        format=INDEX_FORMAT,
        version=version,
        created_at=datetime.now(UTC),
        index_directory=str(directory.resolve()),
        images_root=str(draft.images_root.resolve()),
        model=draft.model,
        engines={modality: engine.kind for modality, engine in engines.items()},
        counts=Counts(
            image=len(draft.gallery.images),
            text=len(draft.gallery.texts),
            rejects=len(draft.rejects),
            left_out=draft.left_out,
        ),
        files=describe_files(staging, [path.name for path in staging.iterdir()]),
    )
    (staging / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def _next_version(directory: Path) -> str:
    """One above every version that is or was there: numbers are never used twice, since caches know them."""
    names = [path.name for path in (directory / VERSIONS).iterdir() if is_version_name(path.name)]
    with suppress(ArtifactMissing):
        names.append(current_version(directory))
    return f"{max(map(int, names), default=0) + 1:06d}"


def _prune(versions: Path, *, current: str) -> None:
    """Remove what killed rebuilds left and all but the newest versions; what cannot be removed now stays till later.

    An old version is renamed first, so that a version that can be seen is always whole.
    """
    names = sorted((path.name for path in versions.iterdir() if is_version_name(path.name)), key=int)
    with suppress(OSError):
        for name in names[:-KEPT_VERSIONS]:
            if name != current:
                (versions / name).rename(versions / f".{name}.removed")
    for path in versions.glob(".*"):
        shutil.rmtree(path, ignore_errors=True)


def _refuse_foreign(directory: Path) -> None:
    """`--out ~/Pictures` must not mix an index into what lies there."""
    if not directory.is_dir() or (directory / CURRENT).exists() or (directory / VERSIONS).is_dir():
        return
    foreign = sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    if foreign:
        raise ArtifactError(f"{directory} is no index: it holds {foreign[0]!r:.80}; give an empty or a new folder")


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{directory} cannot be written to: {reason}; make room or give another folder") from error
