"""Run by `torchrun` in tests: the first process works ahead for longer than any collective may last."""

import sys
import time
from datetime import timedelta
from pathlib import Path

import torch
from torch.distributed.distributed_c10d import _set_pg_timeout

from training.distributed import process_group

PATIENCE_S, WORK_S = 2.5, 5.0


def main(out: Path) -> None:
    """Each process writes what it found after the first one's work, and what all of them sum up to."""
    torch.set_num_threads(1)
    with process_group() as (group, _):
        _set_pg_timeout(timedelta(seconds=PATIENCE_S))
        with group.main_process_first():
            if group.first:
                time.sleep(WORK_S)
                (out / "features").write_text("computed")
            found = (out / "features").read_text()
        group.wait()
        (out / f"{group.rank}.txt").write_text(f"{found} {int(group.sum(torch.ones(1)))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
