"""Two processes train as one: the same losses and parameters, one run directory, and nobody is left waiting."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.integration.toy_ranks import equal_config, train_toy
from training.checkpoint import open_checkpoint
from training.distributed import Group
from training.train import BEST, LAST

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 240

RECIPE = """
name = "pair"
epochs = 6
select_on = "scenes"
data.scenes = { format = "scenes", count = 96 }
optimiser = { average = 0.9 }
batch = { images = 8, captions_per_image = 2, accumulate = 2 }

[model]
image_backbone = { name = "efficientnet-lite0" }
text_backbone = { name = "minilm" }
dimension = 32
cell_components = 32
head_width = "split"

[objective]
prototypes = { start = 0, count = 16 }
relation = { start = 0 }
momentum = { queue = 16 }
soft_positives = { enabled = true }
"""


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


def process_of_rank(launcher: subprocess.Popen[str], rank: int) -> int:
    """The id of the process that the launcher started for a rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    named = {child: Path(f"/proc/{child}/environ").read_bytes().split(b"\0") for child in children}
    return next(int(child) for child, variables in named.items() if f"RANK={rank}".encode() in variables)


def wait_for(path: Path, launcher: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < deadline
        assert launcher.poll() is None, finish(launcher)
        time.sleep(0.02)


def test_two_processes_train_as_one_with_the_joined_batch(tmp_path: Path) -> None:
    """Losses agree in fp32. Parameters are compared in fp64, where AdamW does not blow rounding up to whole steps.

    One process then ends with an error: the other, which waits for it, ends as well.
    """
    status, output = finish(torchrun("tests.integration.toy_ranks", tmp_path, 1))
    assert status != 0
    assert "the disk of this process is gone" in output
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    alone = [train_toy(Group(), equal_config(), dtype) for dtype in (torch.float32, torch.float64)]
    assert set(alone[0]["losses"][-1]) == {
        "matching",
        "local_matching",
        "prototypes",
        "relation",
        "momentum",
        "soft_positives",
    }
    for expected, *found in zip(alone, first, second, strict=True):
        for step, parts in enumerate(expected["losses"]):
            assert [each["losses"][step] for each in found] == [pytest.approx(parts, rel=1e-5)] * 2, step
    for part in ("network", "objective", "average"):
        for name, tensor in alone[1]["state"][part].items():
            assert torch.equal(first[1]["state"][part][name], second[1]["state"][part][name]), name
            torch.testing.assert_close(first[1]["state"][part][name], tensor, atol=1e-5, rtol=1e-5, msg=name)


def test_the_others_wait_for_the_first_however_long_it_computes(tmp_path: Path) -> None:
    status, output = finish(torchrun("tests.integration.slow_ranks", tmp_path))
    assert status == 0, output
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in (0, 1)] == ["computed 2"] * 2


def test_a_run_of_two_processes_stops_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    recipe = tmp_path / "pair.toml"
    recipe.write_text(RECIPE)

    def start(run: Path, *more: str) -> subprocess.Popen[str]:
        return torchrun("cli", "train", recipe, "--out", run, "--cache", tmp_path / "cache", *more)

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    status, output = finish(start(whole))
    assert status == 0, output
    machine = json.loads((whole / "machine.json").read_text())
    assert (machine["processes"], machine["device"], machine["precision"]) == (2, "cpu", "fp32")
    assert machine["device_name"]

    launcher = start(stopped)
    wait_for(stopped / "metrics.jsonl", launcher)
    os.kill(process_of_rank(launcher, 1), signal.SIGTERM)  # told to one, heard by both
    status, output = finish(launcher)
    assert status != 0
    assert output.count("go on with --resume") == 2, output
    assert open_checkpoint(stopped / LAST).manifest.step < open_checkpoint(whole / LAST).manifest.step

    status, output = finish(start(stopped, "--resume"))
    assert status == 0, output
    lines = [json.loads(line) for line in (stopped / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert open_checkpoint(stopped / BEST).sha256 == open_checkpoint(whole / BEST).sha256
    states = [torch.load(run / LAST / "state.pt", weights_only=True)["trainer"] for run in (whole, stopped)]
    for part in ("network", "objective", "average"):
        for name, tensor in states[0][part].items():
            assert torch.equal(tensor, states[1][part][name]), name
