"""The shards of a source on a Ray cluster: the same batches in the same order, so that the shards are the same.

Model and images must lie under the same paths on every node. Only tasks and objects of Ray are used: a shard is a task,
and its rows, a few megabytes, come back to be written here.
"""

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from index.embedding.batches import Embedder
from index.embedding.encoder import Encoder
from index.embedding.plan import Shard
from index.embedding.rows import ShardRows
from index.embedding.workers import Counters, embed_shard
from index.known import Known
from index.sources.images import ImageReader
from model.artifact import ModelArtifact, load_model_artifact
from model.descriptions import Describer, Source
from model.descriptions.of_model import describer_of_model
from model.errors import ArtifactMismatch, ConfigError

# Shards in flight for each core: one at work, one that waits for it.
_AHEAD = 2
_REACHED_WITHIN = 5.0  # seconds


@dataclass(frozen=True)
class Place:
    """Where a worker finds what it needs."""

    model: Path
    model_id: str
    images_root: Path
    describer: Source | None
    views: int


@dataclass(frozen=True)
class RayTasks:
    """The engine of a cluster: one task a shard.

    `address` is that of `ray.init`, such as `ray://head:10001` or `auto`; without one, a cluster of this machine alone
    is started with `cores` (default: all) and stopped at the end.
    """

    address: str | None = None
    cores: int | None = None

    def __call__(
        self, embedder: Embedder, shards: Iterable[Shard], batch: int, counters: Counters
    ) -> Iterator[tuple[Shard, ShardRows]]:
        if embedder.regions is not None:
            raise ConfigError("precomputed regions are embedded on one machine; leave out --engine ray")
        artifact = embedder.encoder.artifact
        describer = None if embedder.describer is None else embedder.describer.source
        where, views = artifact.directory.resolve(), embedder.encoder.views
        place = Place(where, artifact.manifest.model_id, embedder.reader.root, describer, views)
        with _cluster(self) as ray:
            task = ray.remote(num_cpus=1)(_embed)
            known = ray.put(embedder.known)
            limit = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
            running: dict[Any, Shard] = {}
            for shard in shards:
                running[task.remote(place, known, shard, batch)] = shard
                if len(running) >= limit:
                    yield _next_done(ray, running, counters)
            while running:
                yield _next_done(ray, running, counters)


def _embed(place: Place, known: Known | None, shard: Shard, batch: int) -> ShardRows:
    """Runs in a worker's process."""
    encoder, reader, describer = _opened(place)
    return embed_shard(Embedder(encoder, reader, known=known, describer=describer), shard, batch)


@lru_cache(maxsize=1)
def _opened(place: Place) -> tuple[Encoder, ImageReader, Describer | None]:
    """A worker loads the model once for all of its shards."""
    artifact = load_model_artifact(place.model)
    if artifact.manifest.model_id != place.model_id:
        raise ArtifactMismatch(
            f"{place.model} is the model {artifact.manifest.model_id} on a node of the cluster, here it is "
            f"{place.model_id}; copy it there"
        )
    return Encoder(artifact, place.views), ImageReader(place.images_root), _describer(artifact, place.describer)


def _describer(artifact: ModelArtifact, wanted: Source | None) -> Describer | None:
    """A describer holds graphs, which do not travel: each worker makes its own, the one of the model."""
    describer = None if wanted is None else describer_of_model(artifact)
    if wanted is not None and (describer is None or describer.source != wanted):
        raise ConfigError(
            f"the workers of a cluster cannot describe images as {wanted.describer} with prompt {wanted.prompt_hash} "
            "does; describe them with `aahr describe` and give --descriptions, or leave out --engine ray"
        )
    return describer


def _next_done(ray: Any, running: dict[Any, Shard], counters: Counters) -> tuple[Shard, ShardRows]:
    """Wait for any shard; an error of its task is raised as it was there."""
    (done,), _ = ray.wait(list(running), num_returns=1)
    shard = running.pop(done)
    try:
        rows: ShardRows = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    counters.images(len(shard.records))
    counters.captions(sum(len(record.captions) for record in shard.records))
    return shard, rows


@contextmanager
def _cluster(engine: RayTasks) -> Iterator[Any]:
    """Ray, connected; raises ConfigError where it is not installed or the cluster cannot be reached."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what will be Ray's default; else it warns
    try:
        import ray
    except ImportError:
        raise ConfigError('Ray is not installed: pip install "aahr[ray]", or leave out --engine ray') from None
    ours = not ray.is_initialized()
    if ours:
        try:
            _connect(ray, engine)
        except (OSError, RuntimeError, ValueError) as error:
            where = f"the Ray cluster {engine.address} cannot be reached" if engine.address else "Ray cannot be started"
            raise ConfigError(f"{where}: {str(error).splitlines()[0].lower()}; see `ray status`") from error
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: Any, engine: RayTasks) -> None:
    if engine.address:
        host, separator, port = engine.address.removeprefix("ray://").rpartition(":")
        if separator and port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), _REACHED_WITHIN).close()
        ray.init(address=engine.address, log_to_driver=False)
    else:
        ray.init(
            address="local", num_cpus=engine.cores, include_dashboard=False, log_to_driver=False, logging_level="ERROR"
        )
