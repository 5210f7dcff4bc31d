"""The metric that names what is served. A series per generation would grow with every change of the index.

So only generations that some process serves now have one: kept in the process, or in one small file per worker, because
prometheus_client cannot remove a series that workers share.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.obs.multiprocess import generation_file

NAME = "aahr_generation_info"
_HELP = "1 for the index version and model served since the latest swap, 0 for one that another worker still serves."


class ServedGeneration(NamedTuple):
    """What a process serves; `since` is in seconds of the Unix epoch."""

    since: float
    index_version: str
    model_id: str


class Generations(Collector):
    """Collects the generations that are served; exactly one has the value 1 once any is served."""

    def __init__(self, directory: Path | None) -> None:
        """`directory` is what the workers share; None for a process alone."""
        self._directory = directory
        self._own: ServedGeneration | None = None

    def serve(self, index_version: str, model_id: str) -> None:
        """This process serves another generation from now on."""
        self._own = ServedGeneration(time.time(), index_version, model_id)
        if self._directory is not None:
            _write(generation_file(self._directory, os.getpid()), self._own)

    def collect(self) -> Iterable[Metric]:
        """One gauge with a series for each generation that is served."""
        family = GaugeMetricFamily(NAME, _HELP, labels=("index_version", "model_id"))
        served = sorted(self._served())
        values = {generation[1:]: 0 for generation in served}
        if served:
            values[served[-1][1:]] = 1
        for labels, value in values.items():
            family.add_metric(labels, value)
        return [family]

    def _served(self) -> Iterator[ServedGeneration]:
        if self._directory is None:
            if self._own is not None:
                yield self._own
            return
        for file in self._directory.glob("generation_*.json"):
            # The parent removes the file of a worker that has ended.
            with suppress(FileNotFoundError):
                yield ServedGeneration(*json.loads(file.read_text()))


def _write(file: Path, generation: ServedGeneration) -> None:
    """Whole or not at all: another worker may read it at this moment."""
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(generation))
    temporary.replace(file)
