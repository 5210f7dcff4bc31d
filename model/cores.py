"""How many cores this process may use: by its CPU set and by the CPU quotas of its control groups."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores(*, mount: Path = _MOUNT, membership: Path = _MEMBERSHIP) -> int:
    """Cores that this process may keep busy, at least 1.

    A container with `--cpus 1.5` sees every core of its machine, but threads beyond the second only wait: the quota is
    rounded up. `mount` and `membership` are where Linux shows the control groups and which of them this process is in.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas(mount, membership)]
    return max(1, min([cores, *quotas]))


def _quotas(mount: Path, membership: Path) -> Iterator[float]:
    """The quotas, in cores, of the groups of this process and of the groups above them: the smallest one holds."""
    for line in _text(membership).splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2: one tree for all controllers
            for directory in _upwards(mount, group):
                yield from _quota(*_text(directory / "cpu.max").split())
        elif "cpu" in controllers.split(","):  # version 1: a tree for each controller
            for directory in _upwards(mount / "cpu", group):
                yield from _quota(_text(directory / "cpu.cfs_quota_us"), _text(directory / "cpu.cfs_period_us"))


def _upwards(tree: Path, group: str) -> Iterator[Path]:
    """The directory of a group and those above it. Inside a container the lower ones may not be there: no matter."""
    directory = tree / group.lstrip("/")
    yield directory
    yield from (parent for parent in directory.parents if parent.is_relative_to(tree))


def _quota(quota: str = "", period: str = "") -> Iterator[float]:
    """Microseconds of quota in a period as cores; nothing for "max" and -1, which mean no quota."""
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return
    if cores > 0:
        yield cores


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
