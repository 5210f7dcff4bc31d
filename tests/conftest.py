"""What tests of every package share: the photographs beside the project, and what happens without them or a device."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("aahr", deadline=None)
settings.load_profile("aahr")

PROJECT = Path(__file__).parents[1]
_NEEDING_A_DEVICE = pytest.StashKey[int]()
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
        config.stash[_NEEDING_A_DEVICE] = len(needing)
        items[:] = [item for item in items if item not in needing]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested: on photographs, and on a device."""
    if without := terminalreporter.config.stash.get(_NEEDING_A_DEVICE, 0):
        terminalreporter.write_sep("!", f"NO CUDA DEVICE: {without} TESTS MARKED gpu DID NOT RUN", yellow=True)
        terminalreporter.write_line("whatever else there is ran on the CPU, as it does wherever there is no device")
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
