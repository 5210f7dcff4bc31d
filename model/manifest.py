"""Files that bind themselves by hash: manifests, their verification, and publication in one step."""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import ArtifactCorrupt, ArtifactError, ArtifactMissing, not_written
from model.replacement import fsync_path, recover_directory, replace_directory, staging_directory

MANIFEST = "manifest.json"
FORMAT_PREFIX = "aahr-"
_FSYNCS = 8

M = TypeVar("M", bound=BaseModel)


class FileEntry(BaseModel):
    """Size in bytes and SHA-256 (hex) of one file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_files(directory: Path, names: Iterable[str]) -> dict[str, FileEntry]:
    """Size and hash of each named file, sorted by name; raises ArtifactMissing for one that is not there."""
    return {name: _describe(directory, name) for name in sorted(names)}


def verify_files(directory: Path, files: Mapping[str, FileEntry]) -> None:
    """Compare every file with its entry.

    Raises ArtifactMissing for a file that is not there and ArtifactCorrupt for another size or hash, naming the file,
    what the manifest says and what was found. Sizes are compared first: a cut file costs no hashing.
    """
    paths = {name: _path_of(directory, name) for name in files}
    for name, entry in files.items():
        if (found := paths[name].stat().st_size) != entry.bytes:
            raise ArtifactCorrupt(
                f"{name} has {found} bytes, its manifest says {entry.bytes}; make it again", detail=str(paths[name])
            )
    for name, entry in files.items():
        if (digest := sha256_of_file(paths[name])) != entry.sha256:
            raise ArtifactCorrupt(
                f"{name} has SHA-256 {digest}, its manifest says {entry.sha256}; make it again", detail=str(paths[name])
            )


def read_manifest(directory: Path, model: type[M], *, expected: str = "an artifact directory") -> M:
    """The manifest of a directory, checked against its pydantic model.

    `expected` says in errors what kind of directory this should be and which command makes it, such as "a model
    directory, as `aahr export` writes it". Raises ArtifactMissing without a manifest and ArtifactCorrupt for one that
    is not JSON, of another format, or has a wrong field.
    """
    path = directory / MANIFEST
    if not recover_directory(directory) or not path.is_file():
        name = directory.name or "the directory"
        raise ArtifactMissing(f"{name} is not {expected}: it has no {MANIFEST}", detail=str(directory))
    return parse_json_file(path, model, expected=expected)


def parse_json_file(path: Path, model: type[M], *, expected: str) -> M:
    """A JSON file as a pydantic model.

    Raises ArtifactMissing for a file that cannot be read, and ArtifactCorrupt naming the first wrong field.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactMissing(
            f"{path.name} cannot be read, but {expected} needs it: {error.strerror}", detail=str(path)
        ) from error
    except ValidationError as error:
        raise ArtifactCorrupt(
            f"{path.name} does not belong to {expected}: {_first_problem(error)}", detail=str(path)
        ) from error


def write_text_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a crash, sees the old text or the new one and never a part."""
    staging = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with staging.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(path)
    finally:
        staging.unlink(missing_ok=True)
    fsync_path(path.parent)


@contextmanager
def published_directory(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; when the block ends well it becomes `target`, whole and on disk.

    An earlier artifact there is replaced in one step, then removed. On an exception the new folder is removed and the
    earlier one left; after a kill every reader finds one of the two whole, and the next writer clears up. Raises
    ArtifactError for a target that cannot be written, or that holds something which is not an artifact: it is not ours
    to replace.
    """
    with ExitStack() as stack:
        with _writing(target):
            recover_directory(target)
            _refuse_foreign(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            staging = stack.enter_context(staging_directory(target))
        yield staging
        with _writing(target):
            _fsync_tree(staging)
            replace_directory(staging, target)


def _describe(directory: Path, name: str) -> FileEntry:
    path = _path_of(directory, name)
    return FileEntry(bytes=path.stat().st_size, sha256=sha256_of_file(path))


def _path_of(directory: Path, name: str) -> Path:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ArtifactCorrupt(
            f"{MANIFEST} names the file {name!r:.200}, which is outside its directory", detail=str(directory / MANIFEST)
        )
    path = directory / relative
    if not path.is_file():
        raise ArtifactMissing(
            f"{name} is not there, but the artifact {directory.name} needs it; make the artifact again",
            detail=str(path),
        )
    return path


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "missing" or not field:
        return f"{field}: {problem['msg']}" if field else problem["msg"]
    return f"{field}: {problem['msg']}, found {problem['input']!r:.80}"


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"{target} cannot be written: {reason}; make room for it or give another place"
        raise not_written(message, error) from error


def _refuse_foreign(target: Path) -> None:
    """Only nothing, an empty folder or an earlier artifact may be replaced: `--out ~/Pictures` must not lose data."""
    if not os.path.lexists(target) or _is_artifact(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise ArtifactError(f"{target} is not a folder and is not replaced; give another one")
    if any(target.iterdir()):
        raise ArtifactError(f"{target} holds files that no command of aahr wrote and is not replaced; give another one")


def _is_artifact(target: Path) -> bool:
    try:
        manifest = json.loads((target / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and str(manifest.get("format", "")).startswith(FORMAT_PREFIX)


def _fsync_tree(directory: Path) -> None:
    """Side by side: a journal is written once for many that wait."""
    with ThreadPoolExecutor(_FSYNCS) as threads:
        list(threads.map(fsync_path, directory.rglob("*")))
    fsync_path(directory)
