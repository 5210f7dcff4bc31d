"""Kill one change of an index at each of its calls that write: `python -m tests.unit.index.killed CHANGE PRISTINE OUT`.

For n = 1, 1 + EVERY, … a copy OUT/n of the index PRISTINE is changed by a process that dies in place of its n-th such
call; the last copy, whose change came to its end, is printed. `KILL_EVERY=1`, the nightly size, leaves out no call.
"""

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from index.collection.local import LocalStore
from index.items import Modality, image_item_id
from tests.pending import image_rows, pending_version, text_rows, uris_of

EVERY = int(os.environ.get("KILL_EVERY", "5"))
_KILLED = 9
# What the file system is changed or settled with.
_CALLS = ("rename", "replace", "fsync", "unlink", "rmdir", "mkdir")


def change(name: str, directory: Path) -> None:
    """One change of an index of 12 images and 7 captions."""
    store = LocalStore(directory)
    match name:
        case "rebuild":
            store.publish(pending_version(directory.parent, images=20, seed=5))
        case "upsert":
            uris = uris_of(3, start=11)
            store.upsert({Modality.IMAGE: image_rows(uris, seed=7), Modality.TEXT: text_rows(uris, seed=8)})
        case "delete":
            store.delete([image_item_id("p000.jpg")])
        case "compact":
            store.compact()
        case "rollback":
            store.rollback()


def die_at(number: int) -> None:
    """Replace every call that writes by one that counts, and ends the process in place of the n-th."""
    calls = 0

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                os._exit(_KILLED)
            return real(*arguments, **options)

        return call

    for name in _CALLS:
        setattr(os, name, counting(getattr(os, name)))
    plain = io.open
    writing = counting(plain)

    def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        return (writing if set(mode) & set("wax+") else plain)(file, mode, *arguments, **options)

    io.open = opened  # type: ignore[assignment]


def main(name: str, pristine: Path, out: Path) -> None:
    """Kill the change at every fifth of its calls, or at all, until it comes to its end."""
    for number in range(1, 1000, EVERY):
        directory = out / str(number) / "index"
        shutil.copytree(pristine, directory)
        process = os.fork()
        if process == 0:
            die_at(number)
            change(name, directory)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status == 0:
            print(number)
            return
        assert status == _KILLED, f"{name} failed with {status} before its call {number}"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
