"""What a run reports: a progress bar, TensorBoard, and metrics as JSON lines."""

import json
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from training.checkpoint import git_commit, library_versions
from training.config import TrainingConfig

METRICS = "metrics.jsonl"


class RunLog:
    """Writes `config.json`, `versions.json`, `machine.json`, `metrics.jsonl`, `tensorboard/` into a run directory."""

    def __init__(
        self, directory: Path, config: TrainingConfig, steps: int, *, processes: int, device: torch.device
    ) -> None:
        self.directory, self.config, self.steps = directory, config, steps
        self.machine = describe_machine(config, processes, device)
        self.console = Console(stderr=True, markup=False)
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} steps/s"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[parts]}"),
            console=self.console,
        )
        self.task = self.bar.add_task("", total=steps, epoch="", rate=0.0, parts="")

    def __enter__(self) -> Self:
        """Open the files and show the bar."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._write("config.json", self.config.model_dump(mode="json"))
        self._write("versions.json", {**library_versions(), "git_commit": git_commit()})
        self._write("machine.json", self.machine)
        self.writer = SummaryWriter(str(self.directory / "tensorboard"))
        self.started, self.first_step = time.monotonic(), -1
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close both."""
        self.bar.stop()
        self.writer.close()

    def _write(self, name: str, tree: Mapping[str, object]) -> None:
        (self.directory / name).write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")

    def step(self, step: int, epoch: int, parts: Mapping[str, float]) -> None:
        """Show and record the loss parts of one step."""
        if self.first_step < 0:
            self.first_step = step - 1
        rate = (step - self.first_step) / (time.monotonic() - self.started)
        shown = "  ".join(f"{name} {value:.2f}" for name, value in parts.items())
        self.bar.update(self.task, completed=step, epoch=f"{epoch + 1}/{self.config.epochs}", rate=rate, parts=shown)
        for name, value in parts.items():
            self.writer.add_scalar(f"loss/{name}", value, step)

    def epoch(
        self, epoch: int, step: int, parts: Mapping[str, float], evaluation: Mapping[str, float], *, best: bool
    ) -> None:
        """Print and record the val metrics after an epoch."""
        for name, value in evaluation.items():
            self.writer.add_scalar(f"val/{name}", value, epoch)
        seconds = round(time.monotonic() - self.started, 1)
        line = {"epoch": epoch, "step": step, "seconds": seconds, "loss": dict(parts), "val": dict(evaluation)}
        with (self.directory / METRICS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        sums = "  ".join(
            f"{name.removesuffix('/rsum')} rSum {value:.1f}"
            for name, value in evaluation.items()
            if name.endswith("/rsum")
        )
        self.console.print(f"epoch {epoch}: val {sums}{'  (best so far)' if best else ''}")


def describe_machine(config: TrainingConfig, processes: int, device: torch.device) -> dict[str, str | int]:
    """The hardware and settings that the times of a run, and its last digits, depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "device": device.type,
        "device_name": name,
        "processes": processes,
        "threads": torch.get_num_threads(),
        "precision": config.precision,
    }


def _processor() -> str:
    """The name of the processor, or its architecture where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
