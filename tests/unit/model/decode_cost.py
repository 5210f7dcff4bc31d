"""What decoding and preparing each of some image files costs, in a process for each.

    python -m tests.unit.model.decode_cost FILE...

Prints a line of JSON for each: the peak of resident memory above that before, in bytes, and the processor's seconds.
The processes are forked, so that they share what is imported.
"""

import json
import os
import sys
import time
from pathlib import Path

from PIL import Image

from model.preprocess import ImagePreprocessing, decode_image, prepare_image

PREPROCESSING = ImagePreprocessing(
    size=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="squash", interpolation="bicubic"
)


def memory(field: str) -> int:
    """A figure of this process in bytes: VmRSS, or VmHWM, its peak. `ru_maxrss` has the parent's in it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def measure(file: str) -> None:
    before, start = memory("VmRSS"), time.process_time()
    prepare_image(decode_image(Path(file), at_least=PREPROCESSING.size), PREPROCESSING)
    print(json.dumps({"peak": memory("VmHWM") - before, "seconds": time.process_time() - start}), flush=True)


if __name__ == "__main__":
    Image.init()
    for name in sys.argv[1:]:
        child = os.fork()
        if child == 0:
            measure(name)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
