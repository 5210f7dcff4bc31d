"""From images and captions to a published version: a whole index, or some images more in one that is there."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from pathlib import Path

from rich.console import Console

from index.ann.memory import memory_share
from index.collection import Collection
from index.collection.open import is_local, open_store
from index.collection.store import Store
from index.embedding import MAX_REJECTS, Settings, discard, embed_source
from index.items import Modality
from index.manifest import VersionInfo
from index.pending import PendingVersion
from index.progress import embedding_progress
from index.queries import check_model
from index.rebuild_progress import progress_file
from index.rejects import Reject, printable
from index.sources import Source, read_regions, read_source
from index.sources.descriptions import described
from index.sources.rebase import rebased
from model.artifact import ModelArtifact, ModelManifest, load_model_artifact
from model.descriptions import Describer
from model.descriptions.of_model import describer_of_model
from model.errors import ArtifactCorrupt, ArtifactMissing, ConfigError, InvalidInput, ItemNotFound

_REJECTS_SHOWN = 3


@dataclass(frozen=True)
class SourceChoice:
    """What is to be indexed, as a user names it: images with captions beside them, a table, or regions.

    `descriptions`: a file of `aahr describe`, for a model that fuses semantics.
    """

    images: str | None = None
    captions: Path | None = None
    table: Path | None = None
    strict: bool = False
    regions: Path | None = None
    split: str = "test"
    descriptions: Path | None = None

    def read(self, model: ModelManifest, leave_out: Path | None = None) -> Source:
        """The records, described for a model.

        Raises ConfigError where the parts do not fit together, DataError for what cannot be read, and as `described`.
        """
        source = self._read(leave_out)
        return source if self.descriptions is None else described(source, self.descriptions, model)

    def _read(self, leave_out: Path | None) -> Source:
        images = None if self.images is None else Path(self.images)
        if self.regions is not None:
            if self.captions is not None or self.table is not None or self.strict:
                raise ConfigError(
                    "--regions have their captions beside them; leave out --captions, --table and --strict"
                )
            return read_regions(self.regions, self.split, images)
        if self.table is not None:
            if self.captions is not None:
                raise ConfigError("--table holds captions itself; leave out --captions")
            return read_source(self.table, root=images)
        if self.images is None:
            raise ConfigError("there is nothing to index: give --images, --table, or --regions")
        return read_source(self.images, captions=self.captions, strict=self.strict, leave_out=leave_out)


@dataclass(frozen=True)
class AnnChoice:
    """What is wanted of the nearest-neighbour index; what is not said is chosen and tuned.

    With `normalise`, hubs are measured, so that they can be ranked lower.
    """

    kind: str | None = None
    memory: str | None = None
    recall: float = 0.95
    normalise: bool = True


@dataclass(frozen=True)
class Embedding:
    """How images are embedded; see `index.embedding.Settings`. `engine` "ray" takes a Ray cluster, or this machine.

    `views` are those of a rebuild; what is put into an index has as many as the rest of it.
    """

    workers: int | None = None
    batch: int | None = None
    max_rejects: float = MAX_REJECTS
    engine: str = "local"
    ray_address: str | None = None
    views: int = 1

    def settings(self) -> Settings:
        """As the pipeline takes them."""
        if self.engine != "ray":
            return Settings(self.workers, self.batch, self.max_rejects, views=self.views)
        from index.embedding.ray import RayTasks  # ray is an extra

        engine = RayTasks(self.ray_address, self.workers)
        return Settings(None, self.batch, self.max_rejects, engine=engine, views=self.views)


@dataclass(frozen=True)
class Summary:
    """What was published, and what it took; `rate` is images a second of decoding and encoding.

    `undescribed` counts images without a description, where the model fuses semantics.
    """

    info: VersionInfo
    rejects: Sequence[Reject]
    left_out: int
    seconds: float
    rate: float
    undescribed: int | None = None

    def __str__(self) -> str:
        info = self.info
        undescribed = "" if self.undescribed is None else f"{self.undescribed} images without a description, "
        return (
            f"version {info.version}: {info.images} images, {info.texts} captions, {len(self.rejects)} rejects, "
            f"{self.left_out} captions left out, {undescribed}{self.seconds:.1f} s, {self.rate:.0f} images per second"
        )


def rebuild(
    model_directory: Path,
    out: str | Path,
    choice: SourceChoice,
    ann: AnnChoice = AnnChoice(),
    embedding: Embedding = Embedding(),
) -> Summary:
    """Publish an index of everything in a source as a new version in `out`, and print a summary as the last line.

    What an interrupted run has embedded is used again, and so are images and captions of the current version that have
    not changed. Whatever goes wrong, the version that was current stays. Raises DataError for a source that cannot be
    used, UnsupportedQuery for a model of the other kind, and ArtifactError for a model or an index that cannot be used.
    """
    started, console = time.monotonic(), _console()
    artifact = load_model_artifact(model_directory)
    source = choice.read(artifact.manifest, leave_out=Path(out) if is_local(out) else None)
    dimension = artifact.manifest.dimension
    share = memory_share(ann.memory, len(source.records) + source.captions, dimension)
    options = {"kind": ann.kind, "recall": ann.recall, "memory_share": share}
    store = open_store(out, options, normalise=ann.normalise)
    _describe(source, console)
    return _embed_and(store.publish, store, _current(store), artifact, source, embedding, (console, started))


def change(
    location: str | Path,
    choice: SourceChoice,
    embedding: Embedding = Embedding(),
    model_directory: Path | None = None,
    *,
    replace: bool,
) -> Summary:
    """Put the images of a source with their captions into an index, and print a summary as the last line.

    With `replace`, images that are there already are replaced together with their captions, else one refuses all.
    Raises as `rebuild`, and InvalidInput for an image that is there already.
    """
    started, console = time.monotonic(), _console()
    store = open_store(location)
    collection = store.open()
    artifact = load_model_artifact(model_directory or collection.model_directory)
    check_model(collection, artifact.manifest)
    source = rebased(choice.read(artifact.manifest), collection.images_root)
    if not replace:
        _refuse_known(collection, source)
    _describe(source, console)

    def upsert(pending: PendingVersion) -> VersionInfo:
        return store.upsert(pending.rows, replace_captions=True)

    embedding = with_fields(embedding, views=collection.model.views)
    return _embed_and(upsert, store, collection, artifact, source, embedding, (console, started))


def _embed_and(
    publish: Callable[[PendingVersion], VersionInfo],
    store: Store,
    current: Collection | None,
    artifact: ModelArtifact,
    source: Source,
    embedding: Embedding,
    shown: tuple[Console, float],
) -> Summary:
    console, started = shown
    settings = embedding.settings()
    with store.workspace() as work, progress_file(work) as progress:
        begun = time.monotonic()
        with embedding_progress(console) as track:
            known = None if current is None else current.known()
            pending = embed_source(
                source,
                artifact,
                work,
                settings,
                known=known,
                describer=_describer(artifact, source),
                track=progress.follow(track),
                tell=console.print,
            )
        rate = len(source.records) / (time.monotonic() - begun)
        progress.publish()
        info = publish(pending)
        discard(work)
    for note in info.notes:
        console.print(note)
    _show_rejects(pending.rejects, console)
    undescribed = None if artifact.semantics is None else _undescribed(pending, console)
    summary = Summary(info, pending.rejects, pending.left_out, time.monotonic() - started, rate, undescribed)
    print(summary)
    return summary


def _describer(artifact: ModelArtifact, source: Source) -> Describer | None:
    """That of the model, unless a file describes the images, or there are regions in their place."""
    if source.regions is not None or any(record.description is not None for record in source.records):
        return None
    return describer_of_model(artifact)


def _undescribed(pending: PendingVersion, console: Console) -> int:
    """How many images have no description; those whose file has changed since they were described are told of."""
    if pending.stale:
        console.print(
            f"{pending.stale} image files have changed since they were described, and count as without a description: "
            "describe them again with `aahr describe`"
        )
    count: int = pending.rows[Modality.IMAGE].metadata["description"].null_count
    return count


def _current(store: Store) -> Collection | None:
    """The version that is served now; what it holds need not be embedded again, and it may be gone or damaged."""
    try:
        return store.open()
    except (ArtifactMissing, ArtifactCorrupt):
        return None


def _refuse_known(collection: Collection, source: Source) -> None:
    for record in source.records:
        try:
            collection.item(record.id)
        except ItemNotFound:
            continue
        raise InvalidInput(
            f"the image {printable(record.uri)} ({record.id}) is in the index already and nothing was added; "
            "`aahr index upsert` replaces it"
        )


def _describe(source: Source, console: Console) -> None:
    console.print(
        f"{len(source.records)} images in {source.images_root}, {source.ignored} files of other kinds ignored"
    )
    for note in source.notes:
        console.print(note)


def _show_rejects(rejects: Sequence[Reject], console: Console) -> None:
    for reject in rejects[:_REJECTS_SHOWN]:
        console.print(f"rejected: {printable(reject.uri)}: {printable(reject.reason)}")
    if len(rejects) > _REJECTS_SHOWN:
        console.print(f"… {len(rejects)} rejects in all, listed in rejects.jsonl of the new version")


def _console() -> Console:
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
