"""What tests of every package share: the photographs beside the project, and what happens without them or a device."""

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
_FILES = ("dataset_flickr8k.json", "expert_judgments.csv", "images")


def flickr8k_directory() -> Path:
    """Where the photographs should be: FLICKR8K, or beside the project."""
    return Path(os.environ.get("FLICKR8K") or PROJECT.parent / "shared" / "data" / "flickr8k")


@pytest.fixture(scope="session")
def flickr8k() -> Path:
    """The Flickr8k folder, for tests marked `photographs`."""
    _require_photographs()
    return flickr8k_directory()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("photographs"):
        _require_photographs()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that need a CUDA device where torch or FAISS finds none."""
    needing = [item for item in items if item.get_closest_marker("gpu")]
    if needing and not _has_device():
        config.hook.pytest_deselected(items=needing)
        items[:] = [item for item in items if item not in needing]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly that nothing was tested on photographs."""
    skipped = [
        report for report in terminalreporter.stats.get("skipped", ()) if _missing_photographs() in str(report.longrepr)
    ]
    if skipped:
        terminalreporter.write_sep("!", f"{len(skipped)} TESTS ON PHOTOGRAPHS WERE SKIPPED", red=True, bold=True)
        terminalreporter.write_line(_missing_photographs(), red=True)


def _require_photographs() -> None:
    directory = flickr8k_directory()
    if all((directory / name).exists() for name in _FILES):
        return
    if os.environ.get("CI"):
        pytest.fail(_missing_photographs(), pytrace=False)
    pytest.skip(_missing_photographs())


def _missing_photographs() -> str:
    return f"{flickr8k_directory()} does not hold Flickr8k ({', '.join(_FILES)}): set FLICKR8K to the folder that does"


def _has_device() -> bool:
    import faiss
    import torch

    return bool(torch.cuda.is_available() and faiss.get_num_gpus() > 0)
