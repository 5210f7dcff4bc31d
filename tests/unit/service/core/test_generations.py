"""Generations: leased, swapped, refused, rolled back and noticed."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from model.errors import ArtifactCorrupt, ArtifactMismatch, ArtifactMissing
from model.runtime import Runtime
from service.core.errors import NotReadyError
from service.core.generations import Generations
from tests.artifacts import write_colour_model
from tests.galleries import BuiltGallery, build_gallery, newest_segment, write_image
from tests.searching import make_loader

T = TypeVar("T")


@pytest.fixture
def gallery(tmp_path: Path) -> BuiltGallery:
    """A gallery of which versions are published."""
    return build_gallery(tmp_path)


def with_generations(
    gallery: BuiltGallery, steps: Callable[[Generations], Awaitable[T]], model: Path | None = None
) -> T:
    """Serve a gallery for the time of some steps."""

    async def run() -> T:
        loader = make_loader(gallery.index, model)
        generations = Generations(loader, loader.load())
        try:
            return await steps(generations)
        finally:
            await generations.close()
            loader.workers.close()

    return asyncio.run(run())


def test_a_swap_shares_the_encoder_and_closes_the_old_generation_with_its_last_lease(gallery: BuiltGallery) -> None:
    async def steps(generations: Generations) -> None:
        closed: list[str] = []
        old = generations.current
        old.collection.close = lambda: closed.append(old.collection.version)  # type: ignore[method-assign]
        with old:
            write_image(gallery.images / "magenta.jpg", "magenta")
            await asyncio.to_thread(gallery.publish)
            swap = await generations.reload()
            assert (swap.old, swap.new) == (old, generations.current)
            assert (old.collection.version, swap.new.collection.version) == ("000001", "000002")
            assert swap.new.encoder is old.encoder
            await asyncio.sleep(0.05)
            assert closed == [], "a request still holds it"
        await asyncio.sleep(0.05)
        assert closed == ["000001"]

    with_generations(gallery, steps)


def test_an_old_generation_is_freed(gallery: BuiltGallery) -> None:
    async def steps(generations: Generations) -> None:
        freed = weakref.ref(generations.current.collection)
        await asyncio.to_thread(gallery.publish)
        await generations.reload()
        await asyncio.sleep(0.05)
        gc.collect()
        assert freed() is None

    with_generations(gallery, steps)


def test_an_index_of_another_model_comes_with_that_model(gallery: BuiltGallery) -> None:
    async def steps(generations: Generations) -> None:
        runtime = generations.current.encoder.runtime
        closed: list[bool] = []
        runtime.close = lambda: closed.append(True)  # type: ignore[method-assign]
        other = gallery.model.parent / "other"
        write_colour_model(other, seed=1)
        await asyncio.to_thread(lambda: gallery.publish(model=other))
        swap = await generations.reload()
        assert swap.new.encoder.runtime.model_id == swap.new.collection.model.model_id != runtime.model_id
        await asyncio.sleep(0.05)
        assert closed == [True]

    with_generations(gallery, steps)


def test_an_index_of_another_model_is_refused_where_the_model_is_given(gallery: BuiltGallery) -> None:
    async def steps(generations: Generations) -> None:
        other = gallery.model.parent / "other"
        write_colour_model(other, seed=1)
        await asyncio.to_thread(lambda: gallery.publish(model=other))
        with pytest.raises(ArtifactMismatch):
            await generations.reload()
        assert generations.current.collection.version == "000001"
        assert generations.refused == "artifact_mismatch"

    with_generations(gallery, steps, gallery.model)


def test_a_new_model_that_does_not_run_is_refused(gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(generations: Generations) -> None:
        other = gallery.model.parent / "other"
        write_colour_model(other, seed=1)
        await asyncio.to_thread(lambda: gallery.publish(model=other))
        with monkeypatch.context() as broken:
            broken.setattr(Runtime, "warm_up", _fail)
            with pytest.raises(ArtifactCorrupt, match="cannot be run"):
                await generations.reload()
        assert generations.current.collection.version == "000001"
        assert (await generations.reload()).new.collection.version == "000002"

    with_generations(gallery, steps)


def test_a_damaged_version_is_refused_and_the_next_one_is_served(gallery: BuiltGallery) -> None:
    async def steps(generations: Generations) -> None:
        await asyncio.to_thread(lambda: gallery.publish(captions=False))
        (newest_segment(gallery) / "vectors.npy").write_bytes(b"nothing")
        with pytest.raises(ArtifactCorrupt):
            await generations.reload()
        assert (generations.current.collection.version, generations.refused) == ("000001", "artifact_corrupt")
        await generations.rollback()
        assert generations.refused is None

    with_generations(gallery, steps)


def test_rollback_publishes_the_version_before_and_names_what_is_missing(gallery: BuiltGallery) -> None:
    async def steps(generations: Generations) -> None:
        await asyncio.to_thread(gallery.publish)
        await generations.reload()
        swap = await generations.rollback()
        assert (swap.old.collection.version, swap.new.collection.version) == ("000002", "000001")
        assert (gallery.index / "CURRENT").read_text().strip() == "000001"
        assert (await generations.rollback("000002")).new.collection.version == "000002"
        with pytest.raises(ArtifactMissing):
            await generations.rollback("000009")
        assert generations.current.collection.version == "000002"

    with_generations(gallery, steps)


def test_what_another_process_publishes_is_noticed_and_what_is_refused_is_not_tried_again(
    gallery: BuiltGallery, caplog: pytest.LogCaptureFixture
) -> None:
    async def steps(generations: Generations) -> None:
        generations.watch(0.02)
        await asyncio.to_thread(lambda: gallery.publish(captions=False))
        await _until(lambda: generations.current.collection.version == "000002")
        (gallery.index / "CURRENT").write_text("000007\n")
        await _until(lambda: generations.refused is not None)
        await asyncio.sleep(0.2)
        assert caplog.text.count("is refused") == 1
        (gallery.index / "CURRENT").write_text("000001\n")
        await _until(lambda: generations.current.collection.version == "000001")

    with_generations(gallery, steps)


def test_a_failed_encoder_is_tried_again(gallery: BuiltGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(generations: Generations) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Runtime, "warm_up", _fail)
            generations.current.encoder.warm_up()
            with pytest.raises(NotReadyError, match="an encoder failed"):
                await generations.check_ready()
        await generations.check_ready()
        assert generations.current.encoder.failure is None

    with_generations(gallery, steps)


def _fail(_: Runtime) -> None:
    raise RuntimeError("the device is gone")


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
