"""Indexes of the format before this one: refused, with the command that builds them again."""

import json
from pathlib import Path
from typing import Any

from model.errors import ArtifactCorrupt
from model.manifest import MANIFEST

_FIRST_FORMAT = "aahr-index/1"


def has_first_format(version: Path) -> bool:
    """Whether a version has the first format; False where its manifest cannot be read."""
    return _manifest(version).get("format") == _FIRST_FORMAT


def refuse_first_format(directory: Path, version: Path) -> None:
    """Raises ArtifactCorrupt where a version of the index in `directory` has the first format."""
    manifest = _manifest(version)
    if manifest.get("format") != _FIRST_FORMAT:
        return
    model = manifest.get("model")
    model_directory = model.get("directory", "MODEL") if isinstance(model, dict) else "MODEL"
    images = manifest.get("images_root", "FOLDER")
    raise ArtifactCorrupt(
        f"{directory} is an index of the format {_FIRST_FORMAT}, which is no longer read; build it again with "
        f"`aahr index rebuild --model {model_directory} --images {images} --out {directory}` (and --captions FILE)"
    )


def _manifest(version: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((version / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
