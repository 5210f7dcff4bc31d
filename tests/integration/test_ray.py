"""Embedding on a Ray cluster of this machine: the shards are those of the threads, to the byte."""

from pathlib import Path

import pytest
import ray

from index.embedding import Settings, embed_source
from index.embedding.batches import Embedder
from index.embedding.encoder import Encoder
from index.embedding.plan import cut
from index.embedding.ray import RayTasks
from index.embedding.workers import Counters
from index.sources.descriptions import described
from index.sources.images import ImageReader
from model.artifact import ModelArtifact
from model.errors import ArtifactMissing, ConfigError
from tests.artifacts import COLOURS, write_colour_model
from tests.described import ColourDescriber, write_descriptions, write_fusing_model
from tests.embedded import SHARD, contents, write_source

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.ray


@pytest.fixture
def model(tmp_path: Path) -> ModelArtifact:
    return write_colour_model(tmp_path / "model")


def shard_files(work: Path) -> dict[str, bytes]:
    return {str(path.relative_to(work)): path.read_bytes() for path in work.rglob("shard-*/*")}


def test_the_cluster_and_the_threads_write_the_same_shards(
    model: ModelArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    source = write_source(tmp_path / "images", 30)
    counts: list[int] = []
    here = contents(embed_source(source, model, tmp_path / "here", Settings(shard_records=SHARD)))
    settings = Settings(shard_records=SHARD, engine=RayTasks(cores=2))
    there = embed_source(source, model, tmp_path / "there", settings, track=lambda *_: counts.append)
    assert contents(there) == here
    assert shard_files(tmp_path / "there") == shard_files(tmp_path / "here")
    assert len(shard_files(tmp_path / "here")) == 4 * 6
    assert sum(counts) == 30 + 61
    assert not ray.is_initialized()


def test_descriptions_travel_with_their_records_and_a_foreign_describer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    model, bare = write_fusing_model(tmp_path / "fusing"), write_source(tmp_path / "images", 12)
    texts = {record.uri: f"a {COLOURS[at % 9]} square" for at, record in enumerate(bare.records) if at % 3}
    file = write_descriptions(tmp_path / "descriptions.jsonl", bare.images_root, texts)
    source, settings = described(bare, file, model.manifest), Settings(shard_records=SHARD, engine=RayTasks(cores=1))
    here = contents(embed_source(source, model, tmp_path / "here", Settings(shard_records=SHARD)))
    said = r"cannot describe images as tags with prompt f{16} does; .* give --descriptions"
    # One cluster for both: starting one takes seconds, and now and then Ray waits in vain for its own server.
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        assert contents(embed_source(source, model, tmp_path / "there", settings)) == here
        with pytest.raises(ConfigError, match=said):
            embed_source(bare, model, tmp_path / "work", settings, describer=ColourDescriber())
    finally:
        ray.shutdown()


def test_an_error_of_a_worker_is_raised_here_and_a_cluster_that_was_there_stays(
    model: ModelArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    source = write_source(tmp_path / "images", 3)
    embedder = Embedder(Encoder(model), ImageReader(source.images_root))
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        model.image_graph.unlink()
        with pytest.raises(ArtifactMissing, match=r"image\.onnx is not there"):
            list(RayTasks()(embedder, cut(source.records), 4, Counters(lambda _: None, lambda _: None)))
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_an_address_without_a_cluster(model: ModelArtifact, tmp_path: Path) -> None:
    settings = Settings(engine=RayTasks(address="127.0.0.1:1"))
    with pytest.raises(ConfigError, match=r"the Ray cluster 127\.0\.0\.1:1 cannot be reached"):
        embed_source(write_source(tmp_path / "images", 3), model, tmp_path / "work", settings)
