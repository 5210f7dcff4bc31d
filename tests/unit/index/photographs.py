"""Where the shared photographs lie; tests that read them are marked `photographs`."""

import os
from pathlib import Path

FLICKR8K = Path(os.environ.get("FLICKR8K", Path(__file__).parents[3].parent / "shared" / "data" / "flickr8k"))
