"""Metadata on disk: every row comes back, ids lead to their rows, and nothing damaged is read as something else."""

import errno
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from index.filters import parse_filter
from index.items import Item, Modality
from index.metadata import METADATA_FILES, SCHEMA, Metadata, write_metadata
from model.errors import ArtifactCorrupt, ArtifactMissing, DataError
from tests.collections_data import Drawing, image_item, metadata_table

FINGERPRINTS = [bytes([row]) * 32 if row % 3 else None for row in range(250)]


def gallery(rows: int, seed: int = 0) -> list[Item]:
    drawing = Drawing(seed)
    return [
        image_item(f"Ü/{row}.jpg", f"caption {row}" if row % 2 else None, drawing.payload(), _described(row))
        for row in range(rows)
    ]


def _described(row: int) -> str | None:
    return f"image {row}, described" if row % 3 else None


def write(directory: Path, items: list[Item]) -> pa.Table:
    directory.mkdir(exist_ok=True)
    table = metadata_table(items, FINGERPRINTS[: len(items)])
    write_metadata(directory, table)
    return table


@pytest.fixture(params=[65_536, 16])
def written(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Item]]:
    """100 rows, in one batch and in seven."""
    monkeypatch.setattr("index.metadata.BATCH_ROWS", request.param)
    items = gallery(100)
    write(tmp_path, items)
    return tmp_path, items


def test_every_row_comes_back(written: tuple[Path, list[Item]]) -> None:
    directory, items = written
    metadata = Metadata.open(directory)
    assert metadata.size == 100
    assert metadata.items(np.arange(100), Modality.IMAGE) == items
    assert metadata.item(17, Modality.TEXT).modality is Modality.TEXT
    assert metadata.fingerprints().to_pylist() == FINGERPRINTS[:100]
    assert {path.name for path in directory.iterdir()} == set(METADATA_FILES)


@pytest.mark.parametrize("rows", [[], [5], [99, 0, 50, 51, 16, 15, 50], list(range(100)), list(range(99, -1, -1))])
def test_rows_are_taken_in_their_order(written: tuple[Path, list[Item]], rows: list[int]) -> None:
    directory, items = written
    metadata = Metadata.open(directory)
    whole = metadata_table(items, FINGERPRINTS[:100])
    assert metadata.ids(np.array(rows, np.int64)) == [items[row].id for row in rows]
    assert metadata.table(np.array(rows, np.int64)).equals(whole.take(pa.array(rows, pa.int64())))


@pytest.mark.parametrize("row", [-1, 100, 2**62])
def test_a_row_that_is_not_there(written: tuple[Path, list[Item]], row: int) -> None:
    metadata = Metadata.open(written[0])
    for ask in (lambda: metadata.item(row, Modality.IMAGE), lambda: metadata.ids(np.array([3, row]))):
        with pytest.raises(IndexError, match="100"):
            ask()


def collide(text: str) -> int:
    return len(text) % 3


@pytest.mark.parametrize("digest", [None, collide])
def test_ids_lead_to_their_rows(
    digest: Callable[[str], int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if digest is not None:
        monkeypatch.setattr("index.digests._digest", digest)
    items = gallery(40)
    table = write(tmp_path, items)
    image_ids = ["a" * (1 + row % 7) for row in range(40)]
    write_metadata(tmp_path, table.set_column(1, SCHEMA.field("image_id"), pa.array(image_ids)))
    metadata = Metadata.open(tmp_path)
    assert [metadata.row_of(item.id) for item in items] == list(range(40))
    asked = ["", "no such", *(item.id for item in reversed(items)), items[3].id]
    assert metadata.rows_of(asked).tolist() == [-1, -1, *range(39, -1, -1), 3]
    for image_id in ("a", "aaa", "a" * 7):
        assert metadata.rows_of_image(image_id).tolist() == [row for row in range(40) if image_ids[row] == image_id]
    for unknown in ("", "no such", "a" * 10, "\ud800"):
        assert metadata.row_of(unknown) is None
        assert metadata.rows_of_image(unknown).tolist() == []


def test_no_rows_at_all(tmp_path: Path) -> None:
    write(tmp_path, [])
    metadata = Metadata.open(tmp_path)
    assert metadata.size == 0
    assert metadata.row_of("a") is None
    assert metadata.rows_of(["a"]).tolist() == [-1]
    assert metadata.rows_of_image("a").tolist() == []
    assert metadata.table(np.array([], np.int64)).equals(SCHEMA.empty_table())
    assert metadata.mask(parse_filter({"must_not": [{"key": "id", "exists": True}]})).tolist() == []
    assert len(metadata.fingerprints()) == 0


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (lambda table: table.drop(["uri"]), "has the columns"),
        (lambda table: table.set_column(0, "id", pa.array(range(10))), "has the columns"),
        (lambda table: table.set_column(2, SCHEMA.field("uri"), pa.array([None] * 10, pa.string())), "without uri"),
        (lambda table: table.set_column(0, SCHEMA.field("id"), table["id"].take([0, *range(9)])), "given to two items"),
        (lambda table: with_payload(table, "{"), "not JSON"),
        (lambda table: with_payload(table, "[" * 100_000), "not JSON"),
        (lambda table: with_payload(table, "[]"), "must be a JSON object"),
        (lambda table: with_payload(table, '{"a":' * 40 + "1" + "}" * 40), "32 deep"),
        (lambda table: with_payload(table, '{"a": [NaN]}'), "is nan"),
        (lambda table: with_payload(table, '{"a": 1e999}'), "is inf"),
        (lambda table: with_payload(table, '{"a": 9223372036854775808}'), "beyond 64 bits"),
        (lambda table: with_payload(table, '{"a": "\\ud800"}'), "surrogate"),
        (lambda table: with_payload(table, '{"a": "' + "x" * 70_000 + '"}'), "at most 65536"),
    ],
)
def test_what_cannot_be_stored_is_refused(table: Callable[[pa.Table], pa.Table], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said) as raised:
        write_metadata(tmp_path, table(metadata_table(gallery(10))))
    assert "\n" not in str(raised.value)
    write_metadata(tmp_path, metadata_table(gallery(10)))
    assert Metadata.open(tmp_path).size == 10


def with_payload(table: pa.Table, payload: str) -> pa.Table:
    payloads = [*table["payload"].to_pylist()[:-1], payload]
    return table.set_column(4, SCHEMA.field("payload"), pa.array(payloads))


@pytest.mark.parametrize("name", METADATA_FILES)
def test_a_missing_or_foreign_file_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path / "one", gallery(20))
    write(tmp_path / "other", gallery(30))
    path = tmp_path / "one" / name
    content = path.read_bytes()
    others = [
        b"",
        b"\0" * 100,
        b"not Arrow",
        content[:-1],
        content[: len(content) // 2],
        *_of_other_kinds(tmp_path, name),
    ]
    for damaged in others:
        path.write_bytes(damaged)
        with pytest.raises(ArtifactCorrupt, match="rebuild the index") as raised:
            Metadata.open(tmp_path / "one")
        assert "\n" not in str(raised.value)
        assert str(tmp_path) not in str(raised.value)
    path.unlink()
    with pytest.raises(ArtifactMissing, match=name):
        Metadata.open(tmp_path / "one")
    path.write_bytes(content)
    assert Metadata.open(tmp_path / "one").size == 20


def _of_other_kinds(root: Path, name: str) -> list[bytes]:
    """Files that a file was swapped for: of other columns, and of ids of another number of rows."""
    swapped = {"ids.arrow": "image_ids.arrow", "image_ids.arrow": "ids.arrow", "metadata.arrow": "payload.text.arrow"}
    other = root / "other" / swapped.get(name, "metadata.arrow")
    return [other.read_bytes()]


@pytest.mark.parametrize("name", METADATA_FILES)
def test_an_edited_file_never_ends_the_process(name: str, tmp_path: Path) -> None:
    """Hashes are compared by whoever opens a version; even without them an edit is an error, or other texts."""
    items = gallery(60)
    write(tmp_path, items)
    content = (tmp_path / name).read_bytes()
    rng = np.random.default_rng(METADATA_FILES.index(name))
    refused = 0
    for _ in range(80):
        edited = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            edited[place] = rng.integers(256)
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(edited)
        refused += not _reads(tmp_path, items)
    assert refused
    (tmp_path / name).write_bytes(content)
    assert _reads(tmp_path, items)


def _reads(directory: Path, items: list[Item]) -> bool:
    """Read everything; False where it was refused."""
    try:
        metadata = Metadata.open(directory)
        for row, item in enumerate(items):
            metadata.item(row, Modality.IMAGE)
            assert metadata.row_of(item.id) in (row, None)
            metadata.rows_of_image(item.id)
        metadata.table(np.arange(len(items)))
        for key in ("tag", "tags", "mixed", "year", "exif.iso", "caption"):
            for test in ({"match": {"text": "o"}}, {"range": {"gt": 0}}, {"match": {"any": [True, "dog", 0.1, 1]}}):
                assert len(metadata.mask(parse_filter({"must": [{"key": key, **test}]}))) == len(items)
    except ArtifactCorrupt:
        return False
    return True


def test_metadata_from_before_there_were_descriptions_is_read_without_any(
    written: tuple[Path, list[Item]],
) -> None:
    directory, items = written
    path = directory / "metadata.arrow"
    with pa.ipc.open_file(path) as file:
        batches = [file.get_batch(number).drop_columns(["description"]) for number in range(file.num_record_batches)]
    path.unlink()
    with pa.ipc.new_file(str(path), batches[0].schema) as new:
        for batch in batches:
            new.write_batch(batch)
    metadata = Metadata.open(directory)
    undescribed = [replace(item, description=None) for item in items]
    assert metadata.items(np.arange(100), Modality.IMAGE) == undescribed
    rows = np.array([70, 3, 99])
    assert metadata.table(rows).equals(
        metadata_table([undescribed[row] for row in rows], [FINGERPRINTS[row] for row in rows])
    )
    assert metadata.columns["description"].null_count == 100
    for dropped in ("fingerprint", "caption"):  # no file ever lacked these
        path.unlink()
        with pa.ipc.new_file(str(path), batches[0].drop_columns([dropped]).schema) as new:
            new.write_batch(batches[0].drop_columns([dropped]))
        with pytest.raises(ArtifactCorrupt, match="it has the columns"):
            Metadata.open(directory)


def test_a_fault_of_the_machine_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, gallery(5))

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("index.arrow_file.mmap.mmap", failing)
    with pytest.raises(OSError, match="Input/output"):
        Metadata.open(tmp_path)


def test_many_threads_read_at_once(written: tuple[Path, list[Item]], monkeypatch: pytest.MonkeyPatch) -> None:
    directory, items = written
    metadata = Metadata.open(directory)
    monkeypatch.setattr("index.metadata._RESIDENT", 0)  # Pages are let go all the time.
    monkeypatch.setattr("index.metadata._RESIDENT_A_ROW", 0)
    chosen = parse_filter({"must": [{"key": "year", "exists": True}]})
    expected = metadata.mask(chosen)
    ready = threading.Barrier(8)

    def read(seed: int) -> None:
        rows = np.random.default_rng(seed).permutation(100)
        ready.wait()
        for _ in range(5):
            assert metadata.items(rows, Modality.IMAGE) == [items[row] for row in rows]
            assert metadata.rows_of([items[row].id for row in rows]).tolist() == rows.tolist()
            assert np.array_equal(metadata.mask(chosen), expected)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, range(8))) == [None] * 8
