import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index import embed
from index.embed import embed_pictures, embed_texts, isolated
from model.errors import ArtifactError, InvalidInput, UnreadableImage, UnsupportedQuery
from model.preprocess import decode_image
from model.runtime import Floats, Runtime
from tests.artifacts import write_colour_model, write_region_model


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime.load(write_colour_model(tmp_path_factory.mktemp("model")), workers=2)


def write_pictures(root: Path, count: int) -> list[str]:
    colours = np.random.default_rng(0).integers(0, 256, (count, 3))
    for at, colour in enumerate(colours):
        Image.new("RGB", (9, 7), tuple(map(int, colour))).save(root / f"{at:03d}.png")
    return [f"{at:03d}.png" for at in range(count)]


def embeddings(outcomes: Sequence[embed.Outcome]) -> Floats:
    assert not [outcome for outcome in outcomes if isinstance(outcome, InvalidInput)]
    return np.array(outcomes)


def test_pictures_are_embedded_in_order_and_as_one_by_one(runtime: Runtime, tmp_path: Path) -> None:
    uris = write_pictures(tmp_path, 75)
    done: list[int] = []
    found = embeddings(embed_pictures(runtime, tmp_path, uris, done.append))
    expected = [runtime.encode_images([decode_image(tmp_path / uri)])[0] for uri in uris]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert sum(done) == 75


def test_one_bad_file_costs_no_other(runtime: Runtime, tmp_path: Path) -> None:
    uris = write_pictures(tmp_path, 40)
    (tmp_path / "003.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "020.png").unlink()
    found = embed_pictures(runtime, tmp_path, uris, lambda _: None)
    bad = [uri for uri, outcome in zip(uris, found, strict=True) if isinstance(outcome, UnreadableImage)]
    assert bad == ["003.png", "020.png"]
    assert embed_pictures(runtime, tmp_path, ["003.png"], lambda _: None)[0] is not None
    assert embed_pictures(runtime, tmp_path, [], lambda _: None) == []


def test_texts_are_embedded_in_order_and_as_one_by_one(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_TEXT_CHUNK", 3)
    texts = ["red", "a blue circle on the beach", "green", "dog " * 30, "yellow cat", "white", "black"]
    done: list[int] = []
    found = embeddings(embed_texts(runtime, texts, done.append))
    np.testing.assert_allclose(found, [runtime.encode_texts([text])[0] for text in texts], atol=1e-6)
    assert done == [3, 3, 1]


def test_a_model_of_regions_is_refused(tmp_path: Path) -> None:
    with Runtime.load(write_region_model(tmp_path / "regions"), workers=1) as regions:
        with pytest.raises(UnsupportedQuery, match="takes precomputed regions"):
            embed_pictures(regions, tmp_path, ["a.png"], lambda _: None)
        assert len(embeddings(embed_texts(regions, ["red"], lambda _: None))) == 1


def refuse_odd(items: Sequence[int]) -> Floats:
    if any(item % 2 for item in items):
        raise InvalidInput(f"odd: {items}")
    return np.array([[item] for item in items], np.float32)


def test_a_refused_batch_is_tried_one_by_one() -> None:
    outcomes = isolated(refuse_odd, [2, 3, 4])
    assert isinstance(outcomes[1], InvalidInput)
    assert str(outcomes[1]) == "odd: [3]"
    assert [float(outcomes[at][0]) for at in (0, 2)] == [2.0, 4.0]  # type: ignore[index]
    assert isolated(refuse_odd, []) == []


def in_order(function: Callable[[int], int], count: int, threads: int = 2) -> list[int]:
    return list(embed._in_order(function, range(count), threads=threads))


def test_results_keep_the_order_of_the_items() -> None:
    def late_when_even(item: int) -> int:
        time.sleep(0.002 * (item % 2 == 0))
        return item

    assert in_order(late_when_even, 40) == list(range(40))


def test_the_pool_does_not_run_ahead_of_its_consumer() -> None:
    started: list[int] = []
    results = embed._in_order(lambda item: started.append(item), range(1000), threads=2)
    for _ in range(5):
        next(results)
    assert len(started) <= 5 + 3 * 2
    results.close()  # type: ignore[attr-defined]


def test_a_failure_ends_the_work_and_leaves_no_thread() -> None:
    def fail_at_five(item: int) -> int:
        if item == 5:
            raise ArtifactError("the graph failed")
        return item

    before = threading.active_count()
    with pytest.raises(ArtifactError, match="the graph failed"):
        in_order(fail_at_five, 1000)
    assert threading.active_count() == before
