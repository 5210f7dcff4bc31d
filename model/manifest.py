"""Files that bind themselves by hash: manifests, their verification, and publication in one rename."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import ArtifactCorrupt, ArtifactError, ArtifactMissing

MANIFEST = "manifest.json"
FORMAT_PREFIX = "aahr-"

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
            raise ArtifactCorrupt(f"{paths[name]} has {found} bytes, its manifest says {entry.bytes}; make it again")
    for name, entry in files.items():
        if (digest := sha256_of_file(paths[name])) != entry.sha256:
            raise ArtifactCorrupt(
                f"{paths[name]} has SHA-256 {digest}, its manifest says {entry.sha256}; make it again"
            )


def read_manifest(directory: Path, model: type[M], *, expected: str = "an artifact directory") -> M:
    """The manifest of a directory, checked against its pydantic model.

    `expected` says in errors what kind of directory this should be and which command makes it, such as "a model
    directory, as `aahr export` writes it". Raises ArtifactMissing without a manifest and ArtifactCorrupt for one that
    is no JSON, of another format, or has a wrong field.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise ArtifactMissing(f"{directory} is not {expected}: it has no {MANIFEST}")
    return parse_json_file(path, model, expected=expected)


def parse_json_file(path: Path, model: type[M], *, expected: str) -> M:
    """A JSON file as a pydantic model.

    Raises ArtifactMissing for a file that cannot be read, and ArtifactCorrupt naming the first wrong field.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactMissing(f"{path} cannot be read, but {expected} needs it: {error.strerror}") from error
    except ValidationError as error:
        raise ArtifactCorrupt(f"{path} does not belong to {expected}: {_first_problem(error)}") from error


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
    _fsync(path.parent)


@contextmanager
def published_directory(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; when the block ends well it becomes `target`, whole and on disk.

    An earlier artifact there is moved aside, then removed. On an exception the new folder is removed and the earlier
    one left. Raises ArtifactError for a target that cannot be written, or that holds something which is no artifact: it
    is not ours to replace.
    """
    staging = _beside(target)
    with _writing(target):
        _refuse_foreign(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
    try:
        yield staging
        with _writing(target):
            _fsync_tree(staging)
            _replace_directory(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _describe(directory: Path, name: str) -> FileEntry:
    path = _path_of(directory, name)
    return FileEntry(bytes=path.stat().st_size, sha256=sha256_of_file(path))


def _path_of(directory: Path, name: str) -> Path:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise ArtifactCorrupt(f"{directory / MANIFEST} names the file {name!r}, which is outside its directory")
    path = directory / relative
    if not path.is_file():
        raise ArtifactMissing(f"{path} is not there, but the artifact {directory} needs it; make the artifact again")
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
        raise ArtifactError(f"{target} cannot be written: {reason}; make room for it or give another place") from error


def _refuse_foreign(target: Path) -> None:
    """Only nothing, an empty folder or an earlier artifact may be replaced: `--out ~/Pictures` must not lose data."""
    if not os.path.lexists(target) or _is_artifact(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise ArtifactError(f"{target} is no folder and is not replaced; give another one")
    if any(target.iterdir()):
        raise ArtifactError(f"{target} holds files that no command of aahr wrote and is not replaced; give another one")


def _is_artifact(target: Path) -> bool:
    try:
        manifest = json.loads((target / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and str(manifest.get("format", "")).startswith(FORMAT_PREFIX)


def _replace_directory(staging: Path, target: Path) -> None:
    aside = _beside(target)
    earlier = target.exists()
    if earlier:
        target.rename(aside)
    try:
        staging.rename(target)
    except OSError:
        if earlier:
            aside.rename(target)
        raise
    _fsync(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"


def _fsync_tree(directory: Path) -> None:
    for path in directory.rglob("*"):
        _fsync(path)
    _fsync(directory)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
