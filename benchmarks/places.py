"""Where the benchmarks find the project, the data, and what they make once; imports nothing that takes long."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path.home() / ".cache" / "aahr"
FLICKR8K = Path(os.environ.get("FLICKR8K") or ROOT.parent / "shared" / "data" / "flickr8k")
