"""Prometheus metrics of the service, right with one process and with several.

Every series exists from the start with the value 0, so that a rate or an alert needs no first event. Where
`PROMETHEUS_MULTIPROC_DIR` is set before this module is imported, values live in files which all workers share, and any
worker shows the sum of all.
"""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from service.obs.generations import Generations
from service.obs.multiprocess import shared_directory
from service.obs.observers import (
    BREAKER_STATES,
    CACHE_NAMES,
    CACHE_RESULTS,
    OWNERS,
    STAGES,
    BreakerState,
    CacheName,
    CacheResult,
    Owner,
    Stage,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
UNMATCHED = "unmatched"
OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The statuses whose series exist from the start; any other, such as 304, appears when it is first sent.
STATUSES = (200, 400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)
UNMATCHED_STATUSES = (400, 403, 404)

_REQUEST_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGE_BUCKETS_S = (0.0001, 0.00025, *_REQUEST_BUCKETS_S[:-2])
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
# Summed over the workers that live: a worker that has ended waits for nothing.
_GAUGE_MODE: Literal["livesum"] = "livesum"


class Metrics:
    """Constructed once per process; the narrow methods are those of the interfaces in `observers`.

    Safe to call from any thread.
    """

    def __init__(self) -> None:
        # When a series began is of no use to Prometheus, and doubles the size of a scrape.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._directory = shared_directory()
        self._registry = CollectorRegistry()
        self._generations = Generations(self._directory)
        self._make_http_metrics()
        self._make_core_metrics()
        self._make_cache_metrics()
        self.expect_routes([])
        self._shown = self._make_shown_registry()

    def _make_http_metrics(self) -> None:
        self._request_family = self._counter(
            "aahr_http_requests",
            "Requests answered, by route template, method and status.",
            "route",
            "method",
            "status",
        )
        self._duration_family = self._histogram(
            "aahr_http_request_duration_seconds", "From the head of a request to the end of its answer.",
            "route", buckets=_REQUEST_BUCKETS_S,
        )  # fmt: skip
        self._in_flight = self._gauge("aahr_http_requests_in_flight", "Requests being answered now.")
        self._requests: dict[tuple[str, str, int], Counter] = {}
        self._durations: dict[str, Histogram] = {}

    def _make_core_metrics(self) -> None:
        stages = self._histogram(
            "aahr_stage_duration_seconds", "Time of a request in one stage.", "stage", buckets=_STAGE_BUCKETS_S
        )
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        batches = self._histogram(
            "aahr_batch_size", "Items that were run as one batch.", "owner", buckets=_BATCH_BUCKETS
        )
        self._batches = {owner: batches.labels(owner) for owner in OWNERS}
        queues = self._gauge("aahr_queue_length", "Items that wait for a batch now.", "owner")
        self._queues = {owner: queues.labels(owner) for owner in OWNERS}
        rejections = self._counter("aahr_overload_rejections", "Requests turned away by a full queue.", "owner")
        self._rejections = {owner: rejections.labels(owner) for owner in OWNERS}
        self._swaps = self._counter("aahr_generation_swaps", "Generations replaced while serving.")
        self._refusals = self._counter("aahr_generation_refusals", "New generations that could not be used.")

    def _make_cache_metrics(self) -> None:
        asked = self._counter("aahr_cache_requests", "What the caches found.", "cache", "result")
        self._cache = {key: asked.labels(*key) for key in product(CACHE_NAMES, CACHE_RESULTS)}
        breaker = self._gauge(
            "aahr_redis_breaker_state", "Workers whose breaker of Redis is in this state; all 0 without Redis.", "state"
        )
        self._breaker = {state: breaker.labels(state) for state in BREAKER_STATES}

    def expect_routes(self, routes: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Create the series of these route templates, each with its methods, and of requests that match none.

        A route that is not expected is counted as "unmatched", so that no client can make up series.
        """
        for route, methods in [*routes, (UNMATCHED, [*METHODS, OTHER])]:
            self._durations[route] = self._duration_family.labels(route)
            statuses = UNMATCHED_STATUSES if route == UNMATCHED else STATUSES
            for key in product([route], methods, statuses):
                self._requests[key] = self._request_family.labels(*key)

    def knows(self, route: str) -> bool:
        """Whether the route template was expected."""
        return route in self._durations

    def request_started(self) -> None:
        """A request has begun; `request_finished` must follow."""
        self._in_flight.inc()

    def request_finished(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered; an unknown method is counted as "other"."""
        self._in_flight.dec()
        if route not in self._durations:
            route = UNMATCHED
        self._durations[route].observe(seconds)
        key = (route, method if method in METHODS else OTHER, status)
        request = self._requests.get(key)
        if request is None:
            request = self._requests[key] = self._request_family.labels(*key)
        request.inc()

    def observe_stage(self, stage: Stage, seconds: float) -> None:
        """A request has spent this long in a stage; the middleware reports what the stopwatch of the request holds."""
        self._stages[stage].observe(seconds)

    def observe_batch(self, owner: Owner, size: int) -> None:
        """A batch of `size` items was run."""
        self._batches[owner].observe(size)

    def set_queue_length(self, owner: Owner, length: int) -> None:
        """So many items wait now."""
        self._queues[owner].set(length)

    def count_rejection(self, owner: Owner) -> None:
        """A request was turned away because the queue of the owner was full."""
        self._rejections[owner].inc()

    def count_cache(self, cache: CacheName, result: CacheResult) -> None:
        """A cache was asked; "error" is a cache that did not answer, or answered rubbish."""
        self._cache[cache, result].inc()

    def set_breaker(self, state: BreakerState) -> None:
        """The breaker of Redis is in this state now."""
        for name, gauge in self._breaker.items():
            gauge.set(name == state)

    def serve_generation(self, index_version: str, model_id: str) -> None:
        """This generation is served from now on, in place of the one before."""
        self._generations.serve(index_version, model_id)

    def count_swap(self) -> None:
        """A generation was replaced by another one while serving."""
        self._swaps.inc()

    def count_refusal(self) -> None:
        """A new generation could not be used; the old one serves on."""
        self._refusals.inc()

    def render(self) -> bytes:
        """All series in Prometheus' text format, of all workers where several share a directory.

        Takes some milliseconds: call it in a thread.
        """
        return generate_latest(self._shown)

    def _make_shown_registry(self) -> CollectorRegistry:
        if self._directory is None:
            shown = self._registry
            ProcessCollector(registry=shown)
        else:
            shown = CollectorRegistry()
            MultiProcessCollector(shown, str(self._directory))  # type: ignore[no-untyped-call]
        shown.register(self._generations)
        return shown

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode=_GAUGE_MODE)

    def _histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, labels, registry=self._registry, buckets=buckets)
