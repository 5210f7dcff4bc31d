"""The describer against a real server that behaves as servers do: slowly, wrongly, or not at all."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from model.descriptions import Rejected, Subject
from model.descriptions.openai import Endpoint, OpenAIDescriber, Patience, Picture, Sampling
from model.descriptions.openai.sending import MAX_ANSWER_BYTES
from model.descriptions.openai.settings import chat_url
from model.descriptions.prompts import PROMPTS, Mode
from model.descriptions.usage import Meter
from model.errors import ConfigError
from tests.chat_server import CAPTION, Asked, ChatServer, Reply, Script, chat_server, completion, describing, refusal
from tests.servers import eventually, free_port

KEY = "sk-secret-0123"
QUICK = Patience(timeout_s=3.0, deadline_s=10.0, attempts=4, first_wait_s=0.01, longest_wait_s=0.02)
GOOD = "An image that is 40 pixels wide."


def describer_at(
    url: str, *, mode: Mode = "reference", patience: Patience = QUICK, key: str | None = None, **settings: Any
) -> OpenAIDescriber:
    endpoint = Endpoint(chat_url(url), "llava", SecretStr(key) if key else None)
    return OpenAIDescriber(endpoint, mode, patience=patience, **settings)


@contextmanager
def served(script: Script = describing, **settings: Any) -> Iterator[tuple[ChatServer, OpenAIDescriber]]:
    with chat_server(script) as server, describer_at(server.url, **settings) as describer:
        yield server, describer


def subject(width: int = 40, caption: str | None = "a teal square") -> Subject:
    return Subject(f"{width}.png", Image.new("RGB", (width, 20), "teal"), caption)


def one(describer: OpenAIDescriber, width: int = 40) -> str | Rejected:
    (answer,) = describer.describe([subject(width)])
    return answer


def reason(describer: OpenAIDescriber) -> str:
    answer = one(describer)
    assert isinstance(answer, Rejected)
    return answer.reason


def first(count: int, bad: Reply) -> Script:
    """A bad reply to the first requests, good ones to all others."""
    return lambda asked: bad if asked.number < count else describing(asked)


def test_a_description_starts_from_the_reference_caption() -> None:
    with served(key=KEY, sampling=Sampling(0.5, 77)) as (server, describer):
        assert one(describer) == GOOD
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.text == PROMPTS.describe_with("a teal square")
    assert asked.body["messages"][0] == {"role": "system", "content": PROMPTS.system}
    assert (asked.body["model"], asked.body["temperature"], asked.body["max_tokens"]) == ("llava", 0.5, 77)
    assert asked.image.size == (40, 20)


def test_without_one_the_server_writes_the_caption_first_and_none_that_comes_along_is_sent() -> None:
    with served(mode="generated") as (server, describer):
        assert one(describer) == GOOD
    assert [asked.text for asked in server.asked] == [PROMPTS.caption, PROMPTS.describe_with(CAPTION)]
    assert "a teal square" not in str([asked.body for asked in server.asked])
    assert "Authorization" not in server.asked[0].headers


def test_the_source_follows_from_mode_model_sampling_and_size() -> None:
    with describer_at("http://host") as base:
        assert base.source.describer == "openai:llava"
        assert base.at_least == 768
        hashes = {base.source.prompt_hash}
        for changed in ({"mode": "generated"}, {"sampling": Sampling(0.1)}, {"sampling": Sampling(max_tokens=9)}):
            with describer_at("http://host", **changed) as other:
                hashes.add(other.source.prompt_hash)
        with describer_at("http://host", picture=Picture(side=500)) as other:
            hashes.add(other.source.prompt_hash)
        with describer_at("http://another/v1", key=KEY, patience=Patience()) as other:
            assert other.source == base.source
    assert len(hashes) == 5


def test_every_subject_has_its_answer_and_a_bad_one_costs_no_other() -> None:
    def script(asked: Asked) -> Reply:
        return completion("I'm sorry, I can't.") if asked.image.width == 41 else describing(asked)

    with served(script) as (_, describer):
        subjects = [subject(40), subject(41), subject(42), subject(43, caption=" ")]
        answers = describer.describe(subjects)
    assert [isinstance(answer, str) for answer in answers] == [True, False, True, False]
    assert answers[3] == Rejected("it has no caption to start from")


@pytest.mark.parametrize(
    "bad",
    [
        refusal(429, "slow down"),
        refusal(500, "out of memory"),
        Reply(b"<html>bad gateway", 502),
        replace(completion("x" * 1000), drop=True),
        Reply(b"", after_s=0.8),
    ],
    ids=["429", "500", "502", "dropped", "late"],
)
def test_what_passes_is_tried_again(bad: Reply) -> None:
    patience = replace(QUICK, timeout_s=0.5) if bad.after_s else QUICK
    with served(first(2, bad), patience=patience) as (server, describer):
        assert one(describer) == GOOD
    assert len(server.asked) == 3


def test_tries_end_and_the_reason_is_the_last_one() -> None:
    with served(lambda _: refusal(503, "loading the model")) as (server, describer):
        assert reason(describer) == "the server answers 503: loading the model"
    assert len(server.asked) == QUICK.attempts


def test_retry_after_is_waited_for() -> None:
    with served(first(1, refusal(429, "slow down", Retry_After="1"))) as (_, describer):
        started = time.monotonic()
        assert one(describer) == GOOD
    assert time.monotonic() - started >= 1.0


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    with served(first(1, refusal(429, "slow down", Retry_After="60"))) as (server, describer):
        started = time.monotonic()
        assert reason(describer) == "the server answers 429: slow down"
    assert time.monotonic() - started < 8
    assert len(server.asked) == 1


def test_a_trickle_does_not_hold_a_request_beyond_its_time() -> None:
    trickle = replace(completion("x" * 1000), byte_s=0.05)
    with served(lambda _: trickle, patience=replace(QUICK, timeout_s=0.3, attempts=1)) as (_, describer):
        started = time.monotonic()
        assert reason(describer) == "no answer within 0.3 s"
    assert 0.3 <= time.monotonic() - started < 10


def test_the_deadline_is_that_of_both_requests_with_all_their_tries() -> None:
    def script(asked: Asked) -> Reply:
        return replace(describing(asked), after_s=0.2) if asked.wants_caption else refusal(503, "busy")

    patience = Patience(timeout_s=1.0, deadline_s=1.0, attempts=1000, first_wait_s=0.02, longest_wait_s=0.02)
    with served(script, mode="generated", patience=patience) as (_, describer):
        started = time.monotonic()
        assert "busy" in reason(describer)
    assert 0.9 <= time.monotonic() - started < 5


def test_a_request_under_way_ends_with_the_deadline_and_not_with_its_own_time() -> None:
    def script(asked: Asked) -> Reply:
        return replace(describing(asked), after_s=0.3 if asked.wants_caption else 3)

    patience = Patience(timeout_s=0.9, deadline_s=1.0, attempts=1)
    with served(script, mode="generated", patience=patience) as (_, describer):
        assert reason(describer) == "no answer within 1 s"


def test_nobody_listening_is_tried_again_and_then_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with describer_at(url) as describer:
        assert reason(describer).startswith(f"the connection to {url}/v1/chat/completions failed: ")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Reply(b'{"choices": [{"mess'), "is not a chat completion"),
        (Reply(b"\x1f\x8b\x08rubbish", headers={"Content-Encoding": "gzip"}), "is not a chat completion"),
        (completion(""), "the answer is empty"),
        (completion("I cannot help with that."), "the model refused: I cannot help with that."),
        (completion("A dog and", finish="length"), "cut off"),
        (completion("x" * 5000), "5000 characters"),
        (completion(["A dog."]), "not text"),
        (Reply(b" " * (MAX_ANSWER_BYTES + 1)), "more than 1,048,576 bytes"),
        (refusal(400, "image too small"), "declines the request (400: image too small)"),
    ],
)
def test_another_try_changes_nothing_about_these(bad: Reply, said: str) -> None:
    with served(first(1, bad)) as (server, describer):
        answer = one(describer)
        assert isinstance(answer, Rejected)
        assert said in answer.reason
        assert len(server.asked) == 1
        assert one(describer) == GOOD


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (refusal(404, "The model `llava` does not exist.", code="model_not_found"), "'llava'.*check --endpoint"),
        (refusal(401, f"Incorrect API key provided: {KEY}"), r"Incorrect API key provided: \*\*\*"),
        (Reply(b"", 301, {"Location": "http://elsewhere"}), "301"),
    ],
)
def test_what_no_image_can_change_ends_it_at_once(bad: Reply, message: str) -> None:
    with served(lambda _: bad, key=KEY) as (server, describer):
        with pytest.raises(ConfigError, match=message) as caught:
            describer.describe([subject(), subject()])
        assert KEY not in str(caught.value)
        assert server.url in str(caught.value)
    assert len(server.asked) == 1


def test_a_server_that_answers_nothing_any_more_ends_it_after_some_images() -> None:
    patience = replace(QUICK, attempts=1, failures_in_a_row=3)
    with served(first(2, refusal(500, "oops")), patience=patience) as (server, describer):
        assert [type(one(describer)) for _ in range(3)] == [Rejected, Rejected, str]
        server.script = lambda _: refusal(500, "out of memory")
        assert [type(one(describer)) for _ in range(2)] == [Rejected, Rejected]
        with pytest.raises(ConfigError, match=r"answered none of 3 requests in a row, the last one: .* out of memory"):
            one(describer)


def test_a_model_without_eyes_ends_it_but_images_that_are_declined_later_do_not() -> None:
    patience = replace(QUICK, failures_in_a_row=2)
    blind = refusal(400, "llava is not a multimodal model")
    with served(lambda _: blind, patience=patience) as (_, describer):
        assert isinstance(one(describer), Rejected)
        with pytest.raises(ConfigError, match=r"not a multimodal model.*with images"):
            one(describer)
    with served(patience=patience) as (server, describer):
        assert one(describer) == GOOD
        server.script = lambda _: refusal(400, "content policy")
        assert {type(one(describer)) for _ in range(5)} == {Rejected}


def test_tokens_of_all_answers_are_counted_those_that_are_of_no_use_too() -> None:
    replies = [completion(CAPTION), completion("A dog."), completion("", usage=(1, 2)), Reply(b"{")]
    meter = Meter()
    with served(lambda asked: replies[asked.number], mode="generated", meter=meter) as (_, describer):
        assert one(describer) == "A dog."
        assert isinstance(one(describer), Rejected)
        assert isinstance(one(describer), Rejected)
    assert meter.total == (201, 42)
    with served(lambda _: completion("A dog.", usage=None), meter=Meter()) as (_, describer):
        assert one(describer) == "A dog."


def test_the_key_is_shown_by_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with served(lambda _: completion(f"A sign that reads {KEY}."), key=KEY) as (_, describer):
        assert one(describer) == "A sign that reads ***."
        shown = repr(describer) + str(describer) + repr(vars(describer)) + caplog.text
    assert len(caplog.records) > 0
    assert KEY not in shown


def test_threads_ask_at_the_same_time_over_the_same_connections() -> None:
    def script(asked: Asked) -> Reply:
        return replace(describing(asked), after_s=0.1)

    with served(script) as (server, describer), ThreadPoolExecutor(8) as executor:
        answers = list(executor.map(lambda width: one(describer, width), range(30, 46)))
    assert answers == [f"An image that is {width} pixels wide." for width in range(30, 46)]
    assert server.most_under_way == 8


def test_closing_ends_what_is_being_asked_and_what_is_asked_later() -> None:
    ended: list[type[BaseException]] = []

    def ask(describe: Callable[[], object]) -> None:
        try:
            describe()
        except BaseException as error:
            ended.append(type(error))

    patience = Patience(timeout_s=30.0, deadline_s=30.0)
    with chat_server(lambda asked: replace(describing(asked), after_s=20)) as server:
        describer = describer_at(server.url, patience=patience)
        thread = Thread(target=ask, args=[lambda: one(describer)])
        thread.start()
        eventually(lambda: len(server.asked) == 1, "the request has arrived")
        started = time.monotonic()
        describer.close()
        thread.join()
        assert time.monotonic() - started < 10
        ask(lambda: one(describer))
    assert ended == [CancelledError, CancelledError]
