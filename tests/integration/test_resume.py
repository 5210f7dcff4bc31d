"""A run that is killed, at every shard and within them, and goes on: to the byte what an uninterrupted run gives."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from index.embedding import Settings, discard, embed_source
from index.embedding import pipeline as pipeline_module
from index.embedding.shards import ShardStore
from index.items import Modality
from index.sources import Source, read_source
from model.artifact import ModelArtifact
from tests.artifacts import write_colour_model
from tests.embedded import SHARD, contents, write_source

REPOSITORY = Path(__file__).parents[2]
COUNT = 44
SHARDS = -(-COUNT // SHARD)
SETTINGS = Settings(workers=2, shard_records=SHARD)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    return write_colour_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return write_source(tmp_path / "images", COUNT)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the shards that are written."""
    numbers: list[int] = []
    write = ShardStore.write

    def counting(self: ShardStore, shard, rows):  # type: ignore[no-untyped-def]
        numbers.append(shard.number)
        return write(self, shard, rows)

    monkeypatch.setattr(ShardStore, "write", counting)
    return numbers


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing of ours is cleaned up after it."""


def test_after_every_shard_only_the_missing_ones_are_made(
    model: ModelArtifact, source: Source, tmp_path: Path, written: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(embed_source(source, model, tmp_path / "whole", SETTINGS))
    assert written == list(range(SHARDS))
    check = pipeline_module._Run._check_rejects
    for kept in range(SHARDS + 1):
        work = tmp_path / f"after-{kept}"

        def stop(run, done, kept=kept):  # type: ignore[no-untyped-def]
            check(run, done)
            if len(done) == kept:
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(pipeline_module._Run, "_check_rejects", stop)
            with pytest.raises(Killed):
                embed_source(source, model, work, SETTINGS)
        written.clear()
        assert contents(embed_source(source, model, work, SETTINGS)) == whole
        assert written == list(range(kept, SHARDS))


def test_kill_minus_nine_at_any_moment(model: ModelArtifact, source: Source, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance, work = random.Random(seed), tmp_path / "work"
    whole = contents(embed_source(source, model, tmp_path / "whole", SETTINGS))
    for _ in range(4):
        _kill_within(chance, model, source, work)
    assert contents(embed_source(source, model, work, SETTINGS)) == whole
    assert not list(work.glob("*/.*"))


def _kill_within(chance: random.Random, model: ModelArtifact, source: Source, work: Path) -> None:
    """Start a run and kill it when a drawn number of files of shards is there, finished ones and others."""
    files = chance.randrange(1, SHARDS * 6)
    command = [sys.executable, "-m", "tests.embedded", str(model.directory), str(source.images_root), str(work)]
    process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    while process.poll() is None and _files_of_shards(work) < files:
        time.sleep(0.0005)
    process.kill()
    assert process.wait() in (0, -signal.SIGKILL)


def _files_of_shards(work: Path) -> int:
    """How many there are; unlike `Path.glob`, `os.walk` bears folders that are renamed meanwhile."""
    return sum(len(names) for folder, _, names in os.walk(work) if "shard-" in Path(folder).name)


def test_damaged_shards_are_made_again(
    model: ModelArtifact, source: Source, tmp_path: Path, written: list[int]
) -> None:
    work = tmp_path / "work"
    whole = contents(embed_source(source, model, work, SETTINGS))
    (job,) = work.iterdir()
    cut, edited, foreign, bare = (job / f"shard-{number:05d}" for number in (0, 2, 3, 5))
    (cut / "image.npy").write_bytes((cut / "image.npy").read_bytes()[:-4])
    table = bytearray((edited / "text.arrow").read_bytes())
    table[len(table) // 2] ^= 1
    (edited / "text.arrow").write_bytes(table)
    manifest = (foreign / "manifest.json").read_text()
    (foreign / "manifest.json").write_text(manifest.replace('"number": 3', '"number": 4'))
    (bare / "manifest.json").unlink()
    written.clear()
    assert contents(embed_source(source, model, work, SETTINGS)) == whole
    assert written == [0, 2, 3, 5]


def test_shards_of_images_that_changed_meanwhile_are_made_again(
    model: ModelArtifact, source: Source, tmp_path: Path, written: list[int]
) -> None:
    work, root = tmp_path / "work", source.images_root
    embed_source(source, model, work, SETTINGS)
    written.clear()
    (root / "00020.png").write_bytes((root / "00021.png").read_bytes())  # of shard 2
    (root / "00003.png").write_bytes((root / "00004.png").read_bytes())  # of shard 0; it was broken
    (root / "00043.png").unlink()  # of shard 5; it was broken too
    resumed = contents(embed_source(source, model, work, SETTINGS))
    assert written == [0, 2, 5]
    assert resumed == contents(embed_source(source, model, tmp_path / "new", SETTINGS))


def test_another_job_starts_anew_and_clears_the_old_one(
    model: ModelArtifact, source: Source, tmp_path: Path, written: list[int]
) -> None:
    work = tmp_path / "work"
    embed_source(source, model, work, SETTINGS)
    (first,) = work.iterdir()
    captions = source.images_root / "captions.csv"
    captions.write_text(captions.read_text().replace("train", "val", 1))
    other = read_source(source.images_root, captions=captions)
    written.clear()
    pending = embed_source(other, model, work, SETTINGS)
    assert written == list(range(SHARDS))
    assert [path for path in work.iterdir() if path == first] == []
    rows = pending.rows[Modality.IMAGE]
    discard(work)
    assert not work.exists()
    assert len(rows.metadata.to_pylist()) == len(rows.vectors)  # what is mapped stays readable
