"""Embed a source: in shards that survive the process, in parallel, and with a bound on memory."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from index.embedding.batches import Embedder
from index.embedding.encoder import Encoder
from index.embedding.merge import merge, rejects_of
from index.embedding.plan import IMAGE_BATCH, SHARD_RECORDS, Shard, cut, job_key
from index.embedding.rows import stamps_digest
from index.embedding.shards import ShardManifest, ShardStore
from index.embedding.workers import Counters, Engine, Threads
from index.items import Modality
from index.known import Known
from index.manifest import IndexedModel
from index.pending import PendingVersion
from index.progress import Advance, Track
from index.rejects import Reject, printable
from index.sources.archives import ArchiveCache
from index.sources.images import ImageReader
from index.sources.records import Source
from model.artifact import ModelArtifact
from model.cores import usable_cores
from model.descriptions import Describer
from model.errors import ArtifactError, ConfigError, DataError, UnsupportedQuery
from model.views import MOST_VIEWS

MAX_REJECTS = 0.5
_SHOWN = 3

Tell = Callable[[str], object]  # is given lines for the user


def _untracked(name: str, total: int) -> Advance:  # noqa: ARG001 - the signature is Track's
    return lambda _: None


@dataclass(frozen=True)
class Settings:
    """How a source is embedded.

    `workers`: threads, default one a usable core. `batch`: images that are prepared and encoded as one piece of work;
    another one is another job. `max_rejects`: the share of all images that may be rejects. `engine`: default threads.
    `views`: how many of each image are averaged, 1 or 2.
    """

    workers: int | None = None
    batch: int | None = None
    max_rejects: float = MAX_REJECTS
    shard_records: int = SHARD_RECORDS
    engine: Engine | None = None
    views: int = 1

    def __post_init__(self) -> None:
        numbers = {
            "workers": self.workers,
            "batch": self.batch,
            "shard_records": self.shard_records,
            "views": self.views,
        }
        for name, value in numbers.items():
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        if self.views > MOST_VIEWS:
            raise ConfigError(f"views is {self.views}; an image has {MOST_VIEWS}: as it is, and mirrored")
        if not 0 <= self.max_rejects <= 1:
            raise ConfigError(f"max_rejects is {self.max_rejects}; it is a share of all images, from 0 to 1")


def embed_source(
    source: Source,
    artifact: ModelArtifact,
    work_dir: Path,
    settings: Settings = Settings(),
    *,
    known: Known | None = None,
    describer: Describer | None = None,
    track: Track = _untracked,
    tell: Tell = lambda _: None,
) -> PendingVersion:
    """Embed all images and captions of a source, going on where an earlier run of the same job ended.

    Shards go to `work_dir`, which holds nothing else; their rows and embeddings are the same however often the run was
    interrupted and with any number of workers. What `known` holds of the same model is not embedded again. For a model
    that fuses semantics, `describer` says what images show, else the records do. The arrays of the result are mapped
    from `work_dir`, which the caller removes once they are published (`discard`).

    Raises DataError for a source without a usable image, too many rejects, and faults of the machine (shards that are
    done stay), UnsupportedQuery for a model of another kind, and ArtifactError where `work_dir` cannot be written to.
    """
    encoder, indexed = Encoder(artifact, settings.views), _indexed_model(artifact, settings.views)
    _check_kind(source, encoder, describer)
    _check_not_empty(source, len(source.records))
    known = known if known is not None and known.model_id == indexed.embedding_key else None
    batch = settings.batch or max(IMAGE_BATCH, encoder.image_chunk)
    with _writing(work_dir):
        job = job_key(source, encoder, known, batch, settings.shard_records, describer)
        store = _open_store(work_dir, job)
    reader = ImageReader(source.images_root, ArchiveCache(work_dir))
    embedder = Embedder(encoder, reader, source.regions, known, describer)
    run = _Run(source, embedder, store, settings, _counters(source, track), tell)
    done = run.embed(batch)
    with _writing(work_dir):
        rows = merge(store, done, encoder.dimension)
        rejects = [*source.rejects, *rejects_of(store, done)]
    _check_not_empty(source, len(rows[Modality.IMAGE]), rejects)
    left_out = source.left_out + sum(shard.left_out for shard in done)
    stale = sum(shard.stale for shard in done)
    return PendingVersion(indexed, source.images_root, rows, rejects, left_out, stale)


def discard(work_dir: Path) -> None:
    """Remove all jobs; what cannot be removed now is removed by the next run."""
    shutil.rmtree(work_dir, ignore_errors=True)


@dataclass(frozen=True)
class _Run:
    """One run over the shards of a job."""

    source: Source
    embedder: Embedder
    store: ShardStore
    settings: Settings
    counters: Counters
    tell: Tell

    def embed(self, batch: int) -> list[ShardManifest]:
        """The manifests of all shards, in their order."""
        done: dict[int, ShardManifest] = {}
        missing: list[tuple[int, int, int]] = []
        for shard in cut(self.source.records, self.settings.shard_records):
            if (manifest := self._resumed(shard)) is not None:
                self._count(shard)
                done[shard.number] = manifest
            else:
                missing.append((shard.number, shard.start, shard.start + len(shard.records)))
        if done:
            self.tell(f"{len(done)} of {len(done) + len(missing)} shards are there from an interrupted run")
        self._check_rejects(done)
        engine = self.settings.engine or Threads(self.settings.workers or usable_cores())
        records = self.source.records
        shards = (Shard(number, start, records[start:stop]) for number, start, stop in missing)
        for shard, rows in engine(self.embedder, shards, batch, self.counters):
            with _writing(self.store.folder):
                done[shard.number] = self.store.write(shard, rows)
            self._check_rejects(done)
        return [done[number] for number in sorted(done)]

    def _resumed(self, shard: Shard) -> ShardManifest | None:
        """The manifest of a shard of an earlier run whose images have not changed since."""
        manifest = self.store.read(shard)
        if manifest is None or self.source.regions is not None:
            return manifest
        stamps = stamps_digest([self.embedder.stamp(record.uri) for record in shard.records])
        return manifest if stamps == manifest.stamps else None

    def _count(self, shard: Shard) -> None:
        self.counters.images(len(shard.records))
        self.counters.captions(sum(len(record.captions) for record in shard.records))

    def _check_rejects(self, done: dict[int, ShardManifest]) -> None:
        """Raise DataError as soon as more images are rejects than may be."""
        total = len(self.source.records) + len(self.source.rejects)
        count = len(self.source.rejects) + sum(shard.rejected_images for shard in done.values())
        if count <= self.settings.max_rejects * total:
            return
        raise DataError(
            f"{count} of {total} images in {self.source.images_root} cannot be used, more than the share of "
            f"{self.settings.max_rejects:g} that is allowed: {self._first_rejects(done)}; fix them, or allow more with "
            "--max-rejects"
        )

    def _first_rejects(self, done: dict[int, ShardManifest]) -> str:
        rejects = list(self.source.rejects[:_SHOWN])
        for number in sorted(done):
            rejects += self.store.rejects(number) if len(rejects) < _SHOWN else ()
        return "; ".join(f"{printable(reject.uri)}: {printable(reject.reason)}" for reject in rejects[:_SHOWN])


def _open_store(work_dir: Path, job: str) -> ShardStore:
    """The folder of a job, without what killed runs left; jobs of other sources or models are removed."""
    store = ShardStore(work_dir / job)
    store.folder.mkdir(parents=True, exist_ok=True)
    for path in work_dir.iterdir():
        if path != store.folder:
            shutil.rmtree(path, ignore_errors=True)
    store.clear_leftovers()
    return store


def _counters(source: Source, track: Track) -> Counters:
    captions = source.captions
    return Counters(
        track("images", len(source.records)), track("captions", captions) if captions else _untracked("captions", 0)
    )


def _check_kind(source: Source, encoder: Encoder, describer: Describer | None) -> None:
    _check_descriptions(source, encoder, describer)
    name = encoder.artifact.manifest.name
    if source.regions is None and not encoder.takes_pixels:
        raise UnsupportedQuery(
            f"the model {name} takes precomputed regions; images cannot be indexed with it: give --regions"
        )
    if source.regions is not None and encoder.takes_pixels:
        raise UnsupportedQuery(f"the model {name} takes images, not precomputed regions; give --images alone")
    if source.regions is not None and encoder.views > 1:
        raise UnsupportedQuery("precomputed regions have one view; leave out --views")


def _check_descriptions(source: Source, encoder: Encoder, describer: Describer | None) -> None:
    name = encoder.artifact.manifest.name
    described = describer is not None or any(record.description is not None for record in source.records)
    if described and not encoder.fuses_semantics:
        raise UnsupportedQuery(f"the model {name} fuses no semantics: leave out descriptions and describer")
    if describer is not None and source.regions is not None:
        raise UnsupportedQuery(
            f"{describer.source.describer} describes images, not precomputed regions; give their descriptions as a file"
        )


def _check_not_empty(source: Source, count: int, rejects: Sequence[Reject] | None = None) -> None:
    if count:
        return
    rejects = source.rejects if rejects is None else rejects
    first = f"; the first of {len(rejects)} rejects: {rejects[0].uri}: {rejects[0].reason}" if rejects else ""
    raise DataError(f"no image in {source.images_root} could be embedded{first}; give a folder of images")


def _indexed_model(artifact: ModelArtifact, views: int) -> IndexedModel:
    manifest = artifact.manifest
    return IndexedModel(
        model_id=manifest.model_id,
        name=manifest.name,
        dimension=manifest.dimension,
        directory=str(artifact.directory.resolve()),
        views=views,
    )


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"{folder} cannot be written to: {reason}; make room or give another folder") from error
