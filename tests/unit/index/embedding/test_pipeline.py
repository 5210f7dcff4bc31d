"""The rows of a source, what is rejected, and what ends a run."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageFile

from index.embedding import Settings, embed_source
from index.items import Modality, image_item_id, text_item_id
from index.sources import Source, read_source
from index.sources.images import ImageReader
from index.sources.records import RegionFeatures, SourceRecord
from model.artifact import ModelArtifact
from model.datasets.scan import RegionArrays
from model.errors import AahrError, ConfigError, DataError, UnsupportedQuery
from model.preprocess import decode_image
from model.runtime import Runtime
from tests.artifacts import write_colour_model, write_region_model
from tests.embedded import SHARD, contents, uris, write_source
from tests.galleries import write_image
from tests.unit.index.sources.test_tar import write_tar

REPOSITORY = Path(__file__).parents[4]
SETTINGS = Settings(workers=2, shard_records=SHARD)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    return write_colour_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return write_source(tmp_path / "images", 30)


def test_rows_are_those_of_one_image_and_one_caption_after_the_other(
    model: ModelArtifact, source: Source, tmp_path: Path
) -> None:
    pending = embed_source(source, model, tmp_path / "work", SETTINGS)
    images, texts = (pending.rows[modality] for modality in Modality)
    assert uris(pending) == [f"{at:05d}.png" for at in range(30) if at % 10 != 3]
    captions = texts.metadata.column("caption").to_pylist()
    with Runtime.load(model, workers=1) as runtime:
        decoded = [decode_image(source.images_root / uri) for uri in uris(pending)]
        np.testing.assert_allclose(images.vectors, runtime.encode_images(decoded), atol=1e-6)
        np.testing.assert_allclose(texts.vectors, runtime.encode_texts(captions), atol=1e-6)
    assert captions == [c.text for r in source.records if r.uri in uris(pending) for c in r.captions if c.text]
    first, caption = images.metadata.to_pylist()[0], texts.metadata.to_pylist()[1]
    assert first["id"] == first["image_id"] == caption["image_id"] == image_item_id("00000.png")
    assert (first["caption"], first["payload"]) == (captions[0], '{"split":"test"}')
    assert len(first["fingerprint"]) == 32
    assert caption["id"] == text_item_id("00000.png", captions[1], 0)
    assert (caption["uri"], caption["payload"], caption["fingerprint"]) == ("00000.png", '{"split":"test"}', None)
    assert [(reject.uri, reject.code) for reject in pending.rejects] == [
        ("00003.png", "unreadable_image"),
        ("00001.png", "empty_text"),
        ("00013.png", "unreadable_image"),
        ("00023.png", "unreadable_image"),
    ]
    assert pending.rejects[1].reason.startswith("line 62: ")
    assert pending.left_out == 3 * 2
    assert (pending.model.model_id, pending.images_root) == (model.manifest.model_id, source.images_root)


def test_the_number_of_workers_changes_nothing(model: ModelArtifact, source: Source, tmp_path: Path) -> None:
    found = [
        contents(embed_source(source, model, tmp_path / str(workers), replace(SETTINGS, workers=workers)))
        for workers in (1, 2, 7)
    ]
    assert found[0] == found[1] == found[2]


def test_equal_captions_and_ids_that_were_given(model: ModelArtifact, tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", "red")
    table = tmp_path / "t.jsonl"
    table.write_text('{"image": "a.jpg", "id": "mine", "captions": ["", "a dog", "a dog"], "n": {"x": 1}}\n')
    pending = embed_source(read_source(table), model, tmp_path / "work")
    images, texts = (pending.rows[modality].metadata.to_pylist() for modality in Modality)
    assert [(row["id"], row["caption"], row["payload"]) for row in images] == [("mine", "a dog", '{"n":{"x":1}}')]
    assert [row["id"] for row in texts] == [text_item_id("a.jpg", "a dog", ordinal) for ordinal in (0, 1)]
    assert {row["image_id"] for row in texts} == {"mine"}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_images_of_an_archive_are_those_of_the_folder(
    model: ModelArtifact, source: Source, tmp_path: Path, name: str
) -> None:
    members = {path.name: path.read_bytes() for path in sorted(source.images_root.glob("*.png"))}
    archive = write_tar(tmp_path / name, members, "w:gz" if name.endswith("gz") else "w")
    packed = embed_source(read_source(archive), model, tmp_path / "packed", SETTINGS)
    loose = embed_source(read_source(source.images_root), model, tmp_path / "loose", SETTINGS)
    np.testing.assert_array_equal(packed.rows[Modality.IMAGE].vectors, loose.rows[Modality.IMAGE].vectors)
    assert uris(packed) == [f"{name}/{uri}" for uri in uris(loose)]
    assert len(packed.rows[Modality.TEXT]) == len(packed.rows[Modality.TEXT].metadata) == 0


def regions_source(source: Source, values: Any, whole: Any) -> Source:
    records = [SourceRecord(f"{at}", f"id{at}") for at in range(len(whole))]
    return Source(
        source.images_root, records, regions=RegionFeatures(RegionArrays(values, np.arange(len(whole))), whole, "s")
    )


def test_regions_are_embedded_in_order_and_a_bad_one_costs_no_other(source: Source, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = generator.uniform(-1, 1, (40, 5, 3)).astype(np.float16)
    whole = generator.uniform(-1, 1, (40, 3)).astype(np.float32)
    values[20, 2, 1] = np.nan
    artifact = write_region_model(tmp_path / "regions")
    pending = embed_source(regions_source(source, values, whole), artifact, tmp_path / "work", SETTINGS)
    kept = [at for at in range(40) if at != 20]
    assert uris(pending) == [str(at) for at in kept]
    with Runtime.load(artifact, workers=1) as runtime:
        chosen = values[kept].astype(np.float32)
        expected = runtime.encode_regions(chosen, np.ones((39, 5), np.bool_), whole[kept])
    np.testing.assert_allclose(pending.rows[Modality.IMAGE].vectors, expected, atol=1e-6)
    assert [reject.uri for reject in pending.rejects] == ["20"]


def test_models_of_the_other_kind_are_refused(model: ModelArtifact, source: Source, tmp_path: Path) -> None:
    regions = regions_source(source, np.zeros((1, 5, 3), np.float32), np.zeros((1, 3), np.float32))
    with pytest.raises(UnsupportedQuery, match="takes images, not precomputed regions"):
        embed_source(regions, model, tmp_path / "work")
    with pytest.raises(UnsupportedQuery, match=r"takes precomputed regions; .*give --regions"):
        embed_source(source, write_region_model(tmp_path / "regions"), tmp_path / "work")
    with pytest.raises(UnsupportedQuery, match="have one view"):
        embed_source(regions, write_region_model(tmp_path / "regions"), tmp_path / "work", Settings(views=2))
    assert not (tmp_path / "work").exists()


def test_progress_counts_everything_also_what_was_there(model: ModelArtifact, source: Source, tmp_path: Path) -> None:
    def run() -> tuple[dict[str, int], dict[str, int], list[str]]:
        totals: dict[str, int] = {}
        done: dict[str, int] = {"images": 0, "captions": 0}
        told: list[str] = []

        def track(name: str, total: int) -> Callable[[int], object]:
            totals[name] = total
            return lambda count: done.update({name: done[name] + count})

        embed_source(source, model, tmp_path / "work", SETTINGS, track=track, tell=told.append)
        return totals, done, told

    expected = {"images": 30, "captions": 61}
    assert run() == (expected, expected, [])
    assert run() == (expected, expected, ["4 of 4 shards are there from an interrupted run"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"batch": -1}, "batch is -1"),
        ({"views": 0}, "views is 0"),
        ({"views": 3}, "views is 3"),
        ({"max_rejects": 1.5}, "max_rejects is 1.5"),
        ({"max_rejects": float("nan")}, "max_rejects is nan"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**settings)


def test_too_many_rejects_end_the_run_with_reasons_and_remedy(model: ModelArtifact, tmp_path: Path) -> None:
    source = write_source(tmp_path / "images", 20)
    for at in range(12):
        (source.images_root / f"{at:05d}.png").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"1[0-9] of 20 images in .* cannot be used, .* 0\.5 .*--max-rejects"
    ) as refused:
        embed_source(source, model, tmp_path / "work", SETTINGS)
    assert "00000.png: " in str(refused.value)
    assert str(refused.value).count(".png: ") == 3
    pending = embed_source(source, model, tmp_path / "work", replace(SETTINGS, max_rejects=0.65))
    assert len(uris(pending)) == 7
    with pytest.raises(DataError, match=r"1 of 20 images"):
        embed_source(source, model, tmp_path / "none", replace(SETTINGS, max_rejects=0.0, shard_records=1))


def test_found_files_that_cannot_be_images_count_as_rejects(model: ModelArtifact, tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a.jpg", "red")
    for name in ("b.jpg", "c.jpg"):
        (tmp_path / "images" / name).symlink_to("/etc/hostname")
    with pytest.raises(DataError, match=r"2 of 3 images .*b\.jpg: the link leads out"):
        embed_source(read_source(tmp_path / "images"), model, tmp_path / "work")


def test_a_source_without_an_image(model: ModelArtifact, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"no image in .*images could be embedded; give a folder of images"):
        embed_source(read_source(tmp_path / "images"), model, tmp_path / "work")
    (tmp_path / "images" / "a.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"the first of 1 rejects: a\.jpg: "):
        embed_source(read_source(tmp_path / "images"), model, tmp_path / "work", Settings(max_rejects=1))


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT])
def test_a_fault_of_the_machine_ends_the_run_and_is_not_a_reject(
    model: ModelArtifact, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    expected = contents(embed_source(source, model, tmp_path / "whole", SETTINGS))
    with monkeypatch.context() as patched:
        _fail_to_open(patched, "00017.png", code)
        with pytest.raises(
            DataError, match=rf"00017\.png cannot be read: .*\({errno.errorcode[code]}\); that is a fault"
        ):
            embed_source(source, model, tmp_path / "work", SETTINGS)
    assert contents(embed_source(source, model, tmp_path / "work", SETTINGS)) == expected


@pytest.mark.parametrize(("code", "reason"), [(errno.EACCES, "permission denied"), (errno.ENOENT, "no such file")])
def test_a_fault_of_one_file_is_a_reject_and_fixed_by_the_next_run(
    model: ModelArtifact, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    with monkeypatch.context() as patched:
        _fail_to_open(patched, "00017.png", code)
        pending = embed_source(source, model, tmp_path / "work", SETTINGS)
    (reject,) = [reject for reject in pending.rejects if reject.uri == "00017.png"]
    assert (reject.code, reason in reject.reason) == ("unreadable_image", True)
    assert str(source.images_root) not in reject.reason
    (source.images_root / "00017.png").chmod(0o640)  # as who gives the right to read it does
    assert "00017.png" in uris(embed_source(source, model, tmp_path / "work", SETTINGS))


def test_a_root_that_went_away_ends_the_run(model: ModelArtifact, source: Source, tmp_path: Path) -> None:
    source.images_root.rename(tmp_path / "unmounted")
    with pytest.raises(DataError, match=r"cannot be read: no such file or directory \(ENOENT\); that is a fault"):
        embed_source(source, model, tmp_path / "work", SETTINGS)


def test_memory_that_runs_out_ends_the_run(
    model: ModelArtifact, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(DataError, match=r"00000\.png cannot be read: memory ran out"):
        embed_source(source, model, tmp_path / "work", SETTINGS)


def test_a_folder_that_cannot_be_written_to(model: ModelArtifact, source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AahrError, match=r"file.* cannot be written to: not a directory"):
        embed_source(source, model, tmp_path / "file" / "work", SETTINGS)


def _fail_to_open(patched: pytest.MonkeyPatch, name: str, code: int) -> None:
    read = ImageReader.read

    def failing(self: ImageReader, uri: str) -> Any:
        if uri == name:
            raise OSError(code, os.strerror(code))
        return read(self, uri)

    patched.setattr(ImageReader, "read", failing)


# Not `ru_maxrss`, which starts with that of the process that started this one.
MEASURE = """
from pathlib import Path
from tests.embedded import main
main(shard=64)
(line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(line.split()[1])
"""


def test_memory_does_not_grow_with_the_gallery(model: ModelArtifact, tmp_path: Path) -> None:
    peaks = []
    for count in (200, 1200):
        write_source(tmp_path / str(count), count, per_image=1, size=96)
        arguments = [str(model.directory), str(tmp_path / str(count)), str(tmp_path / f"work-{count}")]
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(run.stdout) / 1024)
    assert peaks[1] - peaks[0] < 12, peaks  # MiB; the files alone are 24 MiB more, their pixels as much
