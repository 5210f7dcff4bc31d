"""Two processes train as one: the same losses and parameters, one run directory, and nobody is left waiting."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.integration.toy_ranks import equal_config, train_toy
from training.distributed import Group

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def torchrun(module: str, *arguments: object, processes: int = 2) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command += ["--master-addr=127.0.0.1", f"--master-port={free_port()}", "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and output; kills the processes where they do not end in time."""
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        raise
    return process.returncode, output


def test_two_processes_train_as_one_with_the_joined_batch(tmp_path: Path) -> None:
    status, output = finish(torchrun("tests.integration.toy_ranks", tmp_path))
    assert status == 0, output
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = [train_toy(Group(), equal_config(), dtype) for dtype in (torch.float32, torch.float64)]
    assert set(alone[0]["losses"][-1]) == {"matching", "prototypes", "relation", "momentum"}
    for expected, *found in zip(alone, first, second, strict=True):
        for step, parts in enumerate(expected["losses"]):
            assert [each["losses"][step] for each in found] == [pytest.approx(parts, rel=1e-5)] * 2, step
    for part in ("network", "objective", "average"):
        for name, tensor in alone[1]["state"][part].items():
            assert torch.equal(first[1]["state"][part][name], second[1]["state"][part][name]), name
            torch.testing.assert_close(first[1]["state"][part][name], tensor, atol=1e-7, rtol=1e-7, msg=name)
