"""What a run shows and records, whatever its names are."""

import json
from pathlib import Path

import pytest
import torch

from tests.toy import toy_config
from training.run_log import METRICS, RunLog


def test_names_that_look_like_markup_are_printed_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with RunLog(tmp_path, toy_config(), 10, processes=1, device=torch.device("cpu")) as log:
        log.step(1, 0, {"matching": 0.5})
        log.epoch(1, 1, {"matching": 0.5}, {"[/bold]/rsum": 12.0}, best=True)
    assert "val [/bold] rSum 12.0  (best so far)" in capsys.readouterr().err
    assert json.loads((tmp_path / METRICS).read_text())["val"] == {"[/bold]/rsum": 12.0}
