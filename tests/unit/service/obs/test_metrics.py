"""The metrics of one process."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.obs.metrics import STATUSES, UNMATCHED, Metrics
from service.obs.observers import BREAKER_STATES, CACHE_NAMES, CACHE_RESULTS, OWNERS, STAGES

ROUTES = [("/search", {"POST"}), ("/items/{id}", {"GET", "DELETE"})]
Labels = frozenset[tuple[str, str]]
Series = dict[tuple[str, Labels], float]


def series_of(metrics: Metrics) -> Series:
    """Every sample that is ours, by its name and labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    samples = [sample for family in families for sample in family.samples if sample.name.startswith("aahr_")]
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return series_of(metrics)[name, frozenset(labels.items())]


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.expect_routes(ROUTES)
    return metrics


def test_every_series_is_there_before_the_first_request(metrics: Metrics) -> None:
    found = series_of(metrics)
    expected: list[tuple[str, dict[str, str]]] = [
        *(
            ("aahr_http_requests_total", {"route": route, "method": method, "status": str(status)})
            for route, methods in ROUTES
            for method in methods
            for status in STATUSES
        ),
        ("aahr_http_requests_total", {"route": UNMATCHED, "method": "GET", "status": "404"}),
        *(("aahr_http_request_duration_seconds_count", {"route": r}) for r in ("/search", "/items/{id}", UNMATCHED)),
        ("aahr_http_requests_in_flight", {}),
        *(("aahr_stage_duration_seconds_count", {"stage": stage}) for stage in STAGES),
        *(("aahr_batch_size_count", {"owner": owner}) for owner in OWNERS),
        *(("aahr_queue_length", {"owner": owner}) for owner in OWNERS),
        *(("aahr_overload_rejections_total", {"owner": owner}) for owner in OWNERS),
        *(("aahr_cache_requests_total", {"cache": c, "result": r}) for c in CACHE_NAMES for r in CACHE_RESULTS),
        *(("aahr_redis_breaker_state", {"state": state}) for state in BREAKER_STATES),
        ("aahr_generation_swaps_total", {}),
        ("aahr_generation_refusals_total", {}),
    ]
    assert {(name, frozenset(labels.items())) for name, labels in expected} <= set(found)
    assert set(found.values()) == {0.0}


def test_no_series_appears_with_the_first_event(metrics: Metrics) -> None:
    before = set(series_of(metrics))
    metrics.request_started()
    metrics.request_finished("/search", "POST", 200, 0.01)
    metrics.observe_stage("encode", 0.004)
    metrics.observe_batch("text", 7)
    metrics.set_queue_length("image", 3)
    metrics.count_rejection("search")
    metrics.count_cache("results", "hit")
    metrics.set_breaker("open")
    assert set(series_of(metrics)) == before


def test_a_request_is_counted_timed_and_no_longer_in_flight(metrics: Metrics) -> None:
    metrics.request_started()
    assert value(metrics, "aahr_http_requests_in_flight") == 1
    metrics.request_finished("/search", "POST", 200, 0.02)
    assert value(metrics, "aahr_http_requests_in_flight") == 0
    assert value(metrics, "aahr_http_requests_total", route="/search", method="POST", status="200") == 1
    assert value(metrics, "aahr_http_request_duration_seconds_sum", route="/search") == pytest.approx(0.02)
    assert value(metrics, "aahr_http_request_duration_seconds_bucket", route="/search", le="0.025") == 1
    assert value(metrics, "aahr_http_request_duration_seconds_bucket", route="/search", le="0.01") == 0


def test_clients_cannot_make_up_series(metrics: Metrics) -> None:
    for number in range(50):
        metrics.request_started()
        metrics.request_finished(f"/made/up/{number}", f"METHOD{number}", 404, 0.001)
    assert value(metrics, "aahr_http_requests_total", route=UNMATCHED, method="other", status="404") == 50
    assert "made" not in metrics.render().decode()
    assert "METHOD" not in metrics.render().decode()


def test_stages_batches_queues_and_rejections(metrics: Metrics) -> None:
    metrics.observe_stage("decode", 0.003)
    metrics.observe_batch("text", 3)
    metrics.observe_batch("text", 32)
    metrics.set_queue_length("image", 9)
    metrics.set_queue_length("image", 4)
    metrics.count_rejection("search")
    assert value(metrics, "aahr_stage_duration_seconds_bucket", stage="decode", le="0.005") == 1
    assert value(metrics, "aahr_batch_size_sum", owner="text") == 35
    assert value(metrics, "aahr_batch_size_bucket", owner="text", le="4.0") == 1
    assert value(metrics, "aahr_queue_length", owner="image") == 4
    assert value(metrics, "aahr_overload_rejections_total", owner="search") == 1


def test_caches_and_the_breaker(metrics: Metrics) -> None:
    metrics.count_cache("embeddings", "error")
    assert value(metrics, "aahr_cache_requests_total", cache="embeddings", result="error") == 1
    for state in BREAKER_STATES:
        metrics.set_breaker(state)
        states = {name: value(metrics, "aahr_redis_breaker_state", state=name) for name in BREAKER_STATES}
        assert states == {name: float(name == state) for name in BREAKER_STATES}


def test_exactly_one_generation_is_served_however_many_swaps(metrics: Metrics) -> None:
    for number in range(20):
        metrics.serve_generation(f"{number:06d}", "abc")
        metrics.count_swap()
    metrics.count_refusal()
    shown = {labels: one for (name, labels), one in series_of(metrics).items() if name == "aahr_generation_info"}
    assert shown == {frozenset({("index_version", "000019"), ("model_id", "abc")}): 1}
    assert value(metrics, "aahr_generation_swaps_total") == 20
    assert value(metrics, "aahr_generation_refusals_total") == 1


def test_two_applications_in_one_process_do_not_share_metrics(metrics: Metrics) -> None:
    Metrics().count_swap()
    assert value(metrics, "aahr_generation_swaps_total") == 0


def test_a_lone_process_shows_its_memory(metrics: Metrics) -> None:
    assert b"\nprocess_resident_memory_bytes " in metrics.render()
