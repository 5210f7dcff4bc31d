"""The cores that may be used, under made-up trees of control groups."""

import os
from pathlib import Path

import pytest

from model.cores import usable_cores


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def cores(tree: Path, membership: str, files: dict[str, str]) -> int:
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tree / "membership").write_text(membership)
    return usable_cores(mount=tree, membership=tree / "membership")


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("150000 100000", 2),
        ("200000 100000", 2),
        ("5000 100000", 1),
        ("max 100000", 8),
        ("6400000 100000", 8),
        ("", 8),
        ("nonsense", 8),
    ],
)
def test_version_2_rounds_the_quota_up(tmp_path: Path, quota: str, expected: int) -> None:
    assert cores(tmp_path, "0::/service\n", {"service/cpu.max": quota}) == expected


def test_version_2_takes_the_smallest_quota_of_the_groups_above(tmp_path: Path) -> None:
    files = {"a/cpu.max": "300000 100000", "a/b/cpu.max": "500000 100000", "a/b/c/cpu.max": "max 100000"}
    assert cores(tmp_path, "0::/a/b/c\n", files) == 3


def test_version_2_inside_a_container_reads_the_root_of_the_mount(tmp_path: Path) -> None:
    assert cores(tmp_path, "0::/\n", {"cpu.max": "400000 100000"}) == 4
    assert cores(tmp_path, "0::/system.slice/docker-0123.scope\n", {"cpu.max": "400000 100000"}) == 4


@pytest.mark.parametrize(("quota", "expected"), [("250000", 3), ("-1", 8)])
def test_version_1_divides_quota_by_period(tmp_path: Path, quota: str, expected: int) -> None:
    files = {"cpu/docker/x/cpu.cfs_quota_us": quota, "cpu/docker/x/cpu.cfs_period_us": "100000"}
    membership = "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n"
    assert cores(tmp_path, membership, files) == expected


def test_the_cpu_set_bounds_a_larger_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert cores(tmp_path, "0::/\n", {"cpu.max": "400000 100000"}) == 1


def test_without_control_groups_the_cpu_set_counts(tmp_path: Path) -> None:
    assert usable_cores(mount=tmp_path, membership=tmp_path / "nowhere") == 8


def test_a_machine_without_cpu_sets_counts_its_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert usable_cores(mount=tmp_path, membership=tmp_path / "nowhere") == 5
