"""Images of requests are described within a budget; what fails, or is late, leaves them undescribed with a reason."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from PIL import Image

from model.descriptions import Rejected, Source, Subject
from model.errors import ArtifactError
from service.cache.breaker import Breaker
from service.core.budget import Workers
from service.core.describing import Described, Describing, LocalDescribing, RemoteDescribing, Undescribed
from service.obs.timing import Stopwatch

IMAGE = Image.new("RGB", (8, 8), "red")
TIMEOUT_S = 0.2


class Scripted:
    """A describer that does what it is told."""

    source = Source("scripted", "0" * 16)
    at_least = 300

    def __init__(self, act: Callable[[], str | Rejected]) -> None:
        self.act = act
        self.threads: list[str] = []

    def describe(self, subjects: Sequence[Subject]) -> list[str | Rejected]:
        self.threads.append(threading.current_thread().name)
        return [self.act() for _ in subjects]


def failing(error: Exception) -> Callable[[], str]:
    def act() -> str:
        raise error

    return act


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers(1)
    yield workers
    workers.close()


def described(by: Describing, watch: Stopwatch | None = None) -> Described:
    return asyncio.run(by.describe(IMAGE, watch or Stopwatch()))


def remote(describer: Scripted, pause_s: float = 0.05) -> RemoteDescribing:
    return RemoteDescribing(describer, Breaker(pause_s, 1.0, trial_s=1.0), timeout_s=TIMEOUT_S)


def test_a_local_describer_works_on_the_threads_of_the_budget(workers: Workers) -> None:
    describer, watch = Scripted(lambda: "A red square."), Stopwatch()
    found = described(LocalDescribing(describer, workers), watch)
    assert found == Described("A red square.")
    assert found.notes == ()
    assert all(name.startswith("worker") for name in describer.threads)
    assert "describe" in watch.stages_s()
    assert LocalDescribing(describer, workers).at_least == 300


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda: Rejected("the answer is empty"), "the answer is empty"),
        (failing(ArtifactError("tags.onnx failed on /secret/path")), "the describer failed"),
        (failing(RuntimeError("out of memory at /secret/path")), "the describer failed"),
    ],
)
def test_what_cannot_be_described_is_searched_undescribed(
    workers: Workers, act: Callable[[], str | Rejected], reason: str
) -> None:
    for by in (LocalDescribing(Scripted(act), workers), remote(Scripted(act))):
        found = described(by)
        assert found.text is None
        assert found.reason == reason
        (note,) = found.notes
        assert note == f"the image was not described, so that only what it looks like was searched with: {reason}"
        by.close()


def test_without_a_describer_the_sender_is_told() -> None:
    assert described(Undescribed()).notes == (
        "the image was not described, so that only what it looks like was searched with: the model came without its "
        "describer",
    )


def test_a_late_server_is_not_waited_for_and_then_left_alone() -> None:
    release = threading.Event()

    def late() -> str:
        release.wait(5)
        return "Too late."

    describer = Scripted(late)
    by = remote(describer, pause_s=60)
    started = time.monotonic()
    assert described(by).reason == "the describer did not answer within 0.2 s"
    assert time.monotonic() - started < 2
    assert described(by).reason == "the describer failed a moment ago"
    assert len(describer.threads) == 1
    assert describer.threads[0].startswith("describe")
    release.set()
    by.close()


def test_a_server_that_is_back_is_used_again() -> None:
    answers: list[str | Rejected] = [Rejected("the server does not answer", answered=False), "A red square."]
    describer = Scripted(lambda: answers.pop(0))
    by = remote(describer, pause_s=0.05)
    assert described(by).text is None
    assert described(by).reason == "the describer failed a moment ago"
    time.sleep(0.1)
    assert described(by).text == "A red square."
    by.close()


def test_an_image_that_the_server_will_not_describe_leaves_it_to_others() -> None:
    answers: list[str | Rejected] = [*([Rejected("the answer is a refusal")] * 20), "A red square."]
    by = remote(Scripted(lambda: answers.pop(0)), pause_s=60)
    for _ in range(20):
        assert described(by).reason == "the answer is a refusal"
    assert described(by).text == "A red square."
    by.close()


def test_many_slow_descriptions_run_side_by_side() -> None:
    barrier = threading.Barrier(8)

    def together() -> str:
        barrier.wait(5)  # passed only if all eight are asked at once
        return "A red square."

    by = RemoteDescribing(Scripted(together), Breaker(1, 1.0, trial_s=1.0), timeout_s=5)

    async def all_at_once() -> list[Described]:
        return await asyncio.gather(*(by.describe(IMAGE, Stopwatch()) for _ in range(8)))

    assert asyncio.run(all_at_once()) == [Described("A red square.")] * 8
    by.close()
