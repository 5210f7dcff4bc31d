"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Literal

import typer

CACHE = Path.home() / ".cache" / "aahr"

Cache = Annotated[Path, typer.Option(help="Cache for features of frozen backbones.")]
DataFormat = Annotated[
    Literal["karpathy", "scan", "n24news", "rsitmd"] | None,
    typer.Option("--format", help="Format of --data; default: scan for a directory, karpathy for a file."),
]
