"""`OUT.rejects.jsonl`: what the last run could not describe, and why."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from model.descriptions.selection import Item
from model.errors import not_written


def rejects_path(out: Path) -> Path:
    """Where the rejects of a file of descriptions are."""
    return out.with_name(f"{out.name}.rejects.jsonl")


class RejectsFile:
    """Written anew by each run, which tries all of them again; removed where there are none."""

    def __init__(self, path: Path) -> None:
        """Raises ArtifactError where it cannot be written."""
        self.path = path
        self.count = 0
        try:
            self._file = path.open("w", encoding="utf-8", newline="\n", buffering=1)
        except OSError as error:
            raise self._fault(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.count:
            self.path.unlink(missing_ok=True)

    def add(self, item: Item, reason: str) -> None:
        """Write one line; raises ArtifactError."""
        self.count += 1
        line = {"image": item.image, "caption_id": item.caption_id, "reason": reason}
        try:
            self._file.write(json.dumps({name: value for name, value in line.items() if value is not None}) + "\n")
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> Exception:
        return not_written(f"{self.path} cannot be written: {(error.strerror or str(error)).lower()}", error)
