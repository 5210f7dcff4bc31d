"""Publish over an earlier artifact in processes that are killed before their 1st, 2nd, 3rd ... system call.

    python -m tests.unit.model.kill_publishers FOLDER (exchange | renames)

After each kill a reader must find the earlier or the new artifact, and the next publication must leave nothing else in
the folder. Prints as JSON what the reader found after each kill. The processes are forked, so this one has no threads.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from model import replacement
from model.manifest import published_directory, read_manifest

SYSTEM_CALLS = ("rename", "mkdir", "rmdir", "unlink", "open", "close", "fsync")


class Content(BaseModel):
    format: Literal["aahr-example/1"] = "aahr-example/1"
    content: str


def publish(target: Path, content: str) -> None:
    with published_directory(target) as staging:
        (staging / "content.txt").write_text(content)
        (staging / "manifest.json").write_text(Content(content=content).model_dump_json())


def read(target: Path) -> str:
    content = read_manifest(target, Content).content
    assert (target / "content.txt").read_text() == content, "two artifacts are mixed"
    return content


def killed_at(call: int, work: Callable[[], None]) -> bool:
    """Do some work in a process that is killed before its n-th system call; False where it made fewer."""
    child = os.fork()
    if child == 0:
        counter = iter(range(1, call))

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def count_down(*arguments: Any, **options: Any) -> Any:
                if next(counter, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return function(*arguments, **options)

            return count_down

        for name in SYSTEM_CALLS:
            setattr(os, name, counted(getattr(os, name)))
        if replacement._renameat2 is not None:
            replacement._renameat2 = counted(replacement._renameat2)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0, "the child failed otherwise"
    return os.WIFSIGNALED(status)


def main(folder: Path, way: str) -> None:
    if way == "renames":
        replacement._renameat2 = None
    target = folder / "model"
    found: list[str] = []
    while True:
        shutil.rmtree(target, ignore_errors=True)
        publish(target, "old")
        if not killed_at(len(found) + 1, lambda: publish(target, "new")):
            break
        found.append(read(target))
        publish(target, "next")
        assert read(target) == "next"
        assert os.listdir(folder) == ["model"], f"kill {len(found)} leaves {os.listdir(folder)}"
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
