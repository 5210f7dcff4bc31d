"""The stopwatch of a request."""

import re
import time
from contextlib import suppress

from service.obs.timing import Stopwatch


def test_stages_are_summed_in_the_order_of_their_first_report() -> None:
    watch = Stopwatch()
    for stage, seconds in (("cache", 0.5), ("encode", 2.0), ("cache", 0.25)):
        watch.add(stage, seconds)  # type: ignore[arg-type]
    assert list(watch.stages_s().items()) == [("cache", 0.75), ("encode", 2.0)]
    assert re.fullmatch(r"cache;dur=750\.000, encode;dur=2000\.000, total;dur=\d+\.\d{3}", watch.header())


def test_intervals_lie_where_the_time_was_spent() -> None:
    watch = Stopwatch()
    with suppress(RuntimeError), watch.measure("encode"):
        time.sleep(0.01)
        raise RuntimeError("measured all the same")
    watch.add("queue", 0.005)
    (first, second), now = watch.intervals, time.perf_counter()
    assert watch.started <= first[1] <= first[1] + first[2] <= now
    assert first[2] >= 0.01
    assert abs(second[1] + second[2] - now) < 0.1
