"""What `aahr index` prints of an index and does to it, where nothing has to be embedded."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from index.collection.open import open_store
from index.duplicates import Group, duplicates_of
from index.items import Modality
from index.manifest import VersionInfo

_GROUPS_SHOWN = 20


def delete_items(location: str, ids: Sequence[str]) -> None:
    """Delete items and say what is left; raises ItemNotFound for an unknown id, and then deletes nothing."""
    print(_described(open_store(location).delete(ids)))


def compact(location: str) -> None:
    """Write the current version anew, without its deleted rows."""
    info = open_store(location).compact()
    print("\n".join([_described(info), *info.notes]))


def rollback(location: str, to: str | None) -> None:
    """Make an earlier version the current one; raises ArtifactMissing where there is none."""
    print(_described(open_store(location).rollback(to)))


def prune(location: str, keep: int) -> None:
    """Remove all but the newest versions, and say which."""
    removed = open_store(location).prune(keep)
    print(f"removed {len(removed)} versions: {', '.join(removed)}" if removed else "there was nothing to remove")


def print_versions(location: str) -> None:
    """A table of the versions, the newest last; the current one is marked."""
    table = Table(
        "", "version", "made by", "created", Column("images", justify="right"), Column("captions", justify="right")
    )
    for info in open_store(location).versions():
        created = info.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row("*" if info.current else "", info.version, info.kind, created, str(info.images), str(info.texts))
    Console(highlight=False).print(table)


def print_duplicates(location: str, target: str, threshold: float, json_file: Path | None) -> None:
    """Groups of items that are equal or nearly so, the largest first; all of them are written to `json_file`."""
    groups = duplicates_of(open_store(location).open(), Modality(target), threshold)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(group) for group in groups], indent=2) + "\n", encoding="utf-8")
    console = Console(highlight=False)
    for group in groups[:_GROUPS_SHOWN]:
        console.print(Text(_described_group(group)))
    more = f", {len(groups) - _GROUPS_SHOWN} more groups (--json lists all)" if len(groups) > _GROUPS_SHOWN else ""
    count = sum(len(group.ids) - 1 for group in groups)
    print(f"{len(groups)} groups with {count} duplicates{more}")


def _described(info: VersionInfo) -> str:
    return f"version {info.version} ({info.kind}): {info.images} images, {info.texts} captions"


def _described_group(group: Group) -> str:
    how = "equal" if group.exact else "alike"
    members = (f"{item_id} ({score:.4f})" for item_id, score in zip(group.ids, group.scores, strict=True))
    return f"{len(group.ids)} {how}: {', '.join(members)}"
