"""Tokens are added up, and what they cost."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from model.descriptions.usage import Meter, Prices, Usage


def test_tokens_are_added_and_priced_each_at_its_own_price() -> None:
    meter = Meter(Prices(prompt=2.0, completion=10.0))
    meter.add(Usage(1_000_000, 50_000))
    meter.add(Usage(500_000, 50_000))
    assert meter.total == (1_500_000, 100_000)
    assert meter.cost == pytest.approx(3.0 + 1.0)
    assert str(meter) == "1,500,000 + 100,000 tokens, cost 4.0000"


def test_without_prices_there_is_no_cost_and_without_answers_nothing_to_say() -> None:
    meter = Meter()
    assert (str(meter), meter.cost) == ("", None)
    meter.add(Usage(3, 4))
    assert str(meter) == "3 + 4 tokens"


def test_answers_that_do_not_say_are_counted() -> None:
    meter = Meter()
    meter.add(None)
    meter.add(Usage(3, 4))
    assert str(meter) == "3 + 4 tokens (1 of 2 answers did not say)"


def test_threads_lose_no_token() -> None:
    interval, meter = sys.getswitchinterval(), Meter()
    sys.setswitchinterval(1e-6)  # or threads would take turns too rarely to meet
    try:
        with ThreadPoolExecutor(8) as executor:
            list(executor.map(lambda _: meter.add(Usage(1, 2)), range(5000)))
    finally:
        sys.setswitchinterval(interval)
    assert meter.total == (5000, 10000)
