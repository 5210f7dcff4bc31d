"""Many rows are mapped, not read: opening takes no time, holds up no other thread, and leaves memory alone."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from index.metadata import SCHEMA, write_metadata

ROWS = 200_000

# Its own process: what earlier tests left in memory is not counted. Printed are bytes a row, seconds, and the longest
# time that another thread was kept waiting, of the best round: other processes may keep it waiting, too.
SCRIPT = """
import json, sys, threading, time
from pathlib import Path
import numpy as np
import index.metadata
from index.filters import parse_filter
from index.items import Modality
from index.metadata import Metadata

def resident():
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return 1024 * sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssFile"))

def watch(lags, stop):
    last = time.perf_counter()
    while not stop.is_set():
        time.sleep(0.0002)
        now = time.perf_counter()
        lags.append(now - last)
        last = now

index.metadata._RESIDENT = 0  # What may stay however few the rows are: here the share of each row is measured.
directory = Path(sys.argv[1])
Metadata.open(directory).mask(parse_filter({"must": [{"key": "caption", "match": {"text": "x"}}]}))  # loads the kernels
sys.setswitchinterval(0.0005)
before, opening, waits = resident(), [], []
for _ in range(5):
    lags, stop = [], threading.Event()
    watcher = threading.Thread(target=watch, args=(lags, stop))
    watcher.start()
    start = time.perf_counter()
    metadata = Metadata.open(directory)
    opening.append(time.perf_counter() - start)
    rows = np.random.default_rng(0).integers(0, metadata.size, 500)
    ids = metadata.ids(np.arange(metadata.size))
    assert [metadata.row_of(ids[row]) for row in rows] == rows.tolist()
    assert metadata.items(rows[:100], Modality.TEXT)[7].id == ids[rows[7]]
    assert len(metadata.rows_of_image(metadata.table(rows[:1])["image_id"][0].as_py())) == 5
    assert metadata.mask(parse_filter({"must": [{"key": "year", "range": {"gte": 2010}}]})).any()
    del ids
    stop.set()
    watcher.join()
    waits.append(max(lags))
print(json.dumps({"open_s": min(opening), "wait_s": min(waits), "bytes_a_row": (resident() - before) / metadata.size}))
"""


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    directory = tmp_path_factory.mktemp("metadata")
    write_metadata(directory, table(ROWS))
    done = subprocess.run([sys.executable, "-c", SCRIPT, directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def table(rows: int) -> pa.Table:
    """Captions, five of an image, with about 300 bytes each."""
    number = pa.array(np.arange(rows)).cast(pa.string())
    image = pa.array(np.arange(rows) // 5).cast(pa.string())
    year = pa.array(1990 + np.arange(rows) % 30).cast(pa.string())
    columns = {
        "id": joined("txt_000000000", number),
        "image_id": joined("img_000000000", image),
        "uri": joined("a/folder/of/images/", image, ".jpg"),
        "caption": joined("a dog jumps over the fence of number ", number, " while somebody looks on" * 4),
        "payload": joined('{"year": ', year, ', "tags": ["outdoors", "animals", "action"]}'),
        "fingerprint": pa.nulls(rows, pa.binary(32)),
        "description": pa.nulls(rows, pa.string()),
    }
    return pa.table(columns, schema=SCHEMA)


def joined(*parts: str | pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def test_opening_takes_no_time(figures: dict[str, float]) -> None:
    assert figures["open_s"] < 0.1


def test_no_step_holds_up_another_thread(figures: dict[str, float]) -> None:
    assert figures["wait_s"] < 0.020


def test_little_is_resident(figures: dict[str, float]) -> None:
    assert figures["bytes_a_row"] < 200
