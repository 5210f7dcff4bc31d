"""One small data set of images, drawn once for all tests of this folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.scenes import write_scenes

COUNT, SEED = 200, 7


@pytest.fixture(scope="session")
def scenes_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, count=COUNT, seed=SEED)
    return folder


@pytest.fixture(scope="session")
def images(scenes_folder: Path) -> list[dict[str, Any]]:
    """The images of `scenes.json`, with facts and sentences."""
    described: dict[str, Any] = json.loads((scenes_folder / "scenes.json").read_text())
    found: list[dict[str, Any]] = described["images"]
    return found


@pytest.fixture(scope="session")
def sentences(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [sentence for image in images for sentence in image["sentences"]]
