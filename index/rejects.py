"""What could not be indexed, and why: nothing that was asked for disappears silently."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from model.errors import AahrError

REJECTS = "rejects.jsonl"


@dataclass(frozen=True, slots=True)
class Reject:
    """An image, folder or caption that was left behind: where it is, a stable code, and the reason in words."""

    uri: str
    code: str
    reason: str

    @classmethod
    def of_error(cls, uri: str, error: AahrError) -> "Reject":
        """The reject that an error of one item stands for."""
        return cls(uri, error.code, str(error))


def write_rejects(path: Path, rejects: Iterable[Reject]) -> None:
    """Write one JSON object per line."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for reject in rejects:
            file.write(json.dumps(asdict(reject)) + "\n")


def printable(text: str) -> str:
    """The text with everything that a terminal or UTF-8 cannot take shown as an escape: names come from strangers."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
