"""What `aahr export` says once the model is there."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from training.export import command, export

CHECKPOINT = SimpleNamespace(manifest=SimpleNamespace(described_by=None))


def test_a_path_that_looks_like_markup_is_printed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "open_checkpoint", lambda _: CHECKPOINT)
    monkeypatch.setattr(command, "load_towers", lambda _: None)
    monkeypatch.setattr(command, "_write_exact", lambda *_: 1.0)
    out = tmp_path / "model [" / "bold]"
    export(tmp_path / "run", out)
    assert out.is_dir()
    assert f"to {out} (fp32)" in capsys.readouterr().out
