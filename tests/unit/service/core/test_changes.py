"""Changes of the core: groups, other writers, full disks, and what is searched meanwhile."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from index.collection.local import LocalStore
from index.items import image_item_id
from model.errors import ArtifactBusy, ImagesNotWritable, ItemNotFound, StorageFull
from service.core import writer
from service.core.changes import Changes
from service.core.errors import NotReadyError, OverloadedError
from service.core.generations import Generations
from service.core.items import Deleted, NewItem, Stored
from service.obs.timing import Stopwatch
from service.server import make_loader
from service.settings import Settings
from tests.artifacts import write_colour_model
from tests.galleries import BuiltGallery, build_gallery, image_bytes

RED = image_item_id("red.jpg")


@pytest.fixture
def own(tmp_path: Path) -> BuiltGallery:
    return build_gallery(tmp_path)


@asynccontextmanager
async def changing(gallery: BuiltGallery, max_queue: int = 512) -> AsyncIterator[tuple[Changes, Generations]]:
    loader = make_loader(Settings.model_validate({"index_dir": gallery.index, "threads": 2}))
    generations = Generations(loader, loader.load())
    changes = Changes(generations, loader.store, max_queue)
    try:
        yield changes, generations
    finally:
        await changes.close()
        await generations.close()
        loader.workers.close()


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def new(colour: str, item_id: str | None = None, *captions: str) -> NewItem:
    return NewItem(image_bytes(colour), item_id, captions)


async def upsert(changes: Changes, *items: NewItem) -> list[Any]:
    return list((await changes.upsert(items, Stopwatch())).outcomes)


def test_changes_that_come_together_are_few_versions(own: BuiltGallery) -> None:
    async def test() -> None:
        async with changing(own) as (changes, generations):
            wanted = [upsert(changes, new("cyan", f"c{n}", "a dog")) for n in range(40)]
            outcomes = await asyncio.gather(*wanted)
            assert [outcome.id for (outcome,) in outcomes] == [f"c{n}" for n in range(40)]
            assert int(generations.current.collection.version) < 12
            assert all(generations.current.collection.item(f"c{n}").caption == "a dog" for n in range(40))

    run(test)


def test_each_caller_learns_of_its_own_change(own: BuiltGallery) -> None:
    async def test() -> None:
        async with changing(own) as (changes, generations):
            same = [upsert(changes, new(colour, "x")) for colour in ("cyan", "magenta", "purple")]
            outcomes = [outcome for (outcome,) in await asyncio.gather(*same)]
            assert sorted(outcome.created for outcome in outcomes) == [False, False, True]
            assert generations.current.collection.item("x").uri in {outcome.uri for outcome in outcomes}
            both = await asyncio.gather(changes.delete(["x"]), changes.delete(["x"]))
            assert [type(changed.outcomes[0]) for changed in both] == [Deleted, ItemNotFound]

    run(test)


def test_what_another_process_publishes_is_kept_and_known(own: BuiltGallery) -> None:
    async def test() -> None:
        async with changing(own) as (changes, generations):
            LocalStore(own.index).delete([RED])
            (gone,) = (await changes.delete([RED])).outcomes
            assert isinstance(gone, ItemNotFound)
            await upsert(changes, new("cyan", "c"))
            assert generations.current.collection.version == "000003"
            with pytest.raises(ItemNotFound):
                generations.current.collection.item(RED)

    run(test)


def test_another_writer_is_waited_for(own: BuiltGallery) -> None:
    async def test() -> None:
        async with changing(own) as (changes, _):
            with LocalStore(own.index).catalog.writing():
                waiting = asyncio.ensure_future(upsert(changes, new("cyan", "c")))
                await asyncio.sleep(0.3)
                assert not waiting.done()
            assert isinstance((await waiting)[0], Stored)

    run(test)


def test_another_writer_is_not_waited_for_for_ever(own: BuiltGallery) -> None:
    async def test() -> None:
        async with changing(own) as (changes, _):
            changes._writer._patience_s = 0.2
            with LocalStore(own.index).catalog.writing(), pytest.raises(ArtifactBusy):
                await upsert(changes, new("cyan", "c"))
            assert isinstance((await upsert(changes, new("cyan", "c")))[0], Stored)

    run(test)


@pytest.mark.parametrize("failing", [0, 7, 14, 21, 28, 32])
def test_a_full_disk_changes_nothing_and_the_next_change_works(
    own: BuiltGallery, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Whichever write finds the disk full, after so many others; the last, 33, is of a folder, which has its room."""
    real, calls = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    async def test() -> None:
        async with changing(own) as (changes, generations):
            before = generations.current.collection.index_id
            with monkeypatch.context() as patched:
                patched.setattr(os, "fsync", fsync)
                with pytest.raises(StorageFull):
                    await upsert(changes, new("cyan", "c", "a dog"))
            assert generations.current.collection.index_id == before
            assert LocalStore(own.index).catalog.names() == ["000001"]
            assert isinstance((await upsert(changes, new("cyan", "d")))[0], Stored)

    run(test)


def test_a_change_that_cannot_be_written_harms_no_other(own: BuiltGallery) -> None:
    async def test() -> None:
        async with changing(own) as (changes, _):
            bad = new("cyan", "bad")
            outcome = (await upsert(changes, bad))[0]
            (own.images / outcome.uri).write_bytes(b"something else")
            wanted = [upsert(changes, new("magenta", f"good-{n}")) for n in range(4)]
            wanted.insert(2, upsert(changes, bad))
            done = await asyncio.gather(*wanted, return_exceptions=True)
            assert [type(part) for part in done] == [list, list, ImagesNotWritable, list, list]

    run(test)


def test_too_many_at_a_time_are_refused(own: BuiltGallery) -> None:
    async def test() -> None:
        async with changing(own, max_queue=2) as (changes, _):
            assert len(await upsert(changes, *[new("cyan", f"a{n}") for n in range(5)])) == 5
            wanted = [upsert(changes, new("cyan", f"b{n}")) for n in range(5)]
            done = await asyncio.gather(*wanted, return_exceptions=True)
            assert [isinstance(part, OverloadedError) for part in done] == [False, False, True, True, True]

    run(test)


def test_another_model_embeds_what_it_finds_waiting(own: BuiltGallery, tmp_path: Path) -> None:
    async def test() -> None:
        async with changing(own) as (changes, generations):
            write_colour_model(tmp_path / "other", seed=1)
            own.publish(model=tmp_path / "other")
            assert isinstance((await upsert(changes, new("red", "again")))[0], Stored)
            collection = generations.current.collection
            assert collection.version == "000003"
            assert float(collection.embedding("again") @ collection.embedding(RED)) == pytest.approx(1, abs=1e-3)

    run(test)


def test_a_writer_that_is_closed_finishes_what_has_come(own: BuiltGallery) -> None:
    async def test() -> None:
        async with changing(own) as (changes, _):
            waiting = asyncio.ensure_future(changes.delete([RED]))
            await asyncio.sleep(0)
            await changes.close()
            assert (await waiting).outcomes == [Deleted(RED)]
            with pytest.raises(NotReadyError):
                await changes.delete([RED])

    run(test)


def test_groups_have_a_bound(own: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_GROUP_ITEMS", 3)

    async def test() -> None:
        async with changing(own) as (changes, generations):
            ids = ["red.jpg", "green.jpg", "blue.jpg", "more/yellow.jpg"]
            await asyncio.gather(*[changes.delete([image_item_id(uri)]) for uri in ids])
            assert generations.current.collection.version == "000003"

    run(test)
