"""What a run says while it runs: a progress bar, TensorBoard, and metrics as JSON lines."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from training.checkpoint import git_commit, library_versions
from training.config import TrainingConfig

METRICS = "metrics.jsonl"


class RunLog:
    """Writes `config.json`, `versions.json`, `metrics.jsonl` and `tensorboard/` below a run directory."""

    def __init__(self, directory: Path, config: TrainingConfig, steps: int) -> None:
        self.directory, self.config, self.steps = directory, config, steps
        self.console = Console(stderr=True)
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
        (self.directory / "config.json").write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        versions = {**library_versions(), "git_commit": git_commit()}
        (self.directory / "versions.json").write_text(json.dumps(versions, indent=2) + "\n", encoding="utf-8")
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
