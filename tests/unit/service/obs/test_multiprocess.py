"""Metrics that several processes write into one directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.obs.multiprocess import VARIABLE, forget_worker, generation_file, prepare_directory
from tests.conftest import PROJECT

# A worker that counts, says its id and lives until its input ends.
WORKER = """
import os, sys
from service.obs.metrics import Metrics
metrics = Metrics()
metrics.expect_routes([("/search", ["POST"])])
for number in range(int(sys.argv[1])):
    metrics.request_started()
    metrics.request_finished("/search", "POST", 200, 0.02)
    metrics.observe_stage("encode", 0.003)
metrics.request_started()
metrics.set_queue_length("text", int(sys.argv[1]))
metrics.set_breaker(sys.argv[2])
metrics.serve_generation(sys.argv[3], "abc")
print(os.getpid(), flush=True)
sys.stdin.read()
sys.stdout.buffer.write(metrics.render())
"""


class Worker:
    """A process that has counted when this returns; `scrape` ends it with what it shows."""

    def __init__(self, directory: Path, requests: int, breaker: str, version: str) -> None:
        command = [sys.executable, "-c", WORKER, str(requests), breaker, version]
        pipe = subprocess.PIPE
        environment = {VARIABLE: str(directory), "PYTHONPATH": str(PROJECT)}
        self.process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdout is not None
        self.pid = int(self.process.stdout.readline())

    def scrape(self) -> list[str]:
        shown, _ = self.process.communicate(timeout=60)
        return shown.splitlines()


@pytest.fixture(scope="module")
def scrapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str]]:
    """What one worker shows while the other lives, and what that one shows when the first has ended."""
    directory = tmp_path_factory.mktemp("metrics")
    first = Worker(directory, 3, "closed", "000001")
    second = Worker(directory, 4, "open", "000002")
    both = first.scrape()
    forget_worker(directory, first.pid)
    return both, second.scrape()


def test_a_scrape_of_one_worker_sums_both(scrapes: tuple[list[str], list[str]]) -> None:
    both, _ = scrapes
    assert 'aahr_http_requests_total{method="POST",route="/search",status="200"} 7.0' in both
    assert 'aahr_http_request_duration_seconds_count{route="/search"} 7.0' in both
    assert 'aahr_stage_duration_seconds_bucket{le="0.005",stage="encode"} 7.0' in both
    assert "aahr_http_requests_in_flight 2.0" in both
    assert 'aahr_queue_length{owner="text"} 7.0' in both
    assert 'aahr_redis_breaker_state{state="closed"} 1.0' in both
    assert 'aahr_redis_breaker_state{state="open"} 1.0' in both


def test_series_of_what_has_not_happened_are_zero(scrapes: tuple[list[str], list[str]]) -> None:
    both, _ = scrapes
    assert 'aahr_http_requests_total{method="POST",route="/search",status="503"} 0.0' in both
    assert 'aahr_cache_requests_total{cache="results",result="hit"} 0.0' in both
    assert 'aahr_redis_breaker_state{state="half_open"} 0.0' in both


def test_exactly_one_generation_is_one_while_workers_follow(scrapes: tuple[list[str], list[str]]) -> None:
    both, alone = scrapes
    assert [line for line in both if line.startswith("aahr_generation_info")] == [
        'aahr_generation_info{index_version="000001",model_id="abc"} 0.0',
        'aahr_generation_info{index_version="000002",model_id="abc"} 1.0',
    ]
    assert [line for line in alone if line.startswith("aahr_generation_info")] == [
        'aahr_generation_info{index_version="000002",model_id="abc"} 1.0'
    ]


def test_a_dead_worker_keeps_its_counts_and_loses_its_gauges(scrapes: tuple[list[str], list[str]]) -> None:
    _, alone = scrapes
    assert 'aahr_http_requests_total{method="POST",route="/search",status="200"} 7.0' in alone
    assert "aahr_http_requests_in_flight 1.0" in alone
    assert 'aahr_queue_length{owner="text"} 4.0' in alone
    assert 'aahr_redis_breaker_state{state="closed"} 0.0' in alone


def test_a_directory_is_made_and_emptied_of_an_earlier_run(tmp_path: Path) -> None:
    directory = tmp_path / "run" / "metrics"
    prepare_directory(directory)
    for name in ("counter_1.db", "gauge_livesum_1.db", "somebody.txt"):
        (directory / name).touch()
    generation_file(directory, 1).touch()
    prepare_directory(directory)
    assert [file.name for file in directory.iterdir()] == ["somebody.txt"]


def test_a_worker_that_left_nothing_can_be_forgotten(tmp_path: Path) -> None:
    forget_worker(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
