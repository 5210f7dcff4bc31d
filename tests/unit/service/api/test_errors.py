"""Every error has a status and the one shape."""

import json
from collections.abc import Iterator

import pytest

import service.api.errors
from model import errors
from model.errors import AahrError
from service.api.errors import aahr_error_response, error_response, status_of
from service.core.errors import InvalidField, NotReadyError, OverloadedError


def all_classes(base: type[AahrError]) -> Iterator[type[AahrError]]:
    yield base
    for kind in base.__subclasses__():
        yield from all_classes(kind)


KINDS = [kind for kind in dict.fromkeys(all_classes(AahrError)) if kind not in (InvalidField, OverloadedError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_status_a_code_and_the_shape(kind: type[AahrError]) -> None:
    response = aahr_error_response(kind("what was wrong"))
    answer = json.loads(bytes(response.body))["error"]
    assert 400 <= response.status_code < 600
    withheld = issubclass(kind, errors.ArtifactError) or response.status_code == 500
    assert (answer["code"], answer["message"] == "what was wrong") == (kind.code, not withheld)


@pytest.mark.parametrize("kind", KINDS)
def test_the_detail_is_never_shown(kind: type[AahrError]) -> None:
    response = aahr_error_response(kind("what was wrong", detail="/srv/private"))
    assert b"/srv/private" not in bytes(response.body)


def test_codes_tell_classes_apart() -> None:
    kinds = list(all_classes(AahrError))
    assert len({kind.code for kind in kinds}) == len(set(kinds))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (service.api.errors.MalformedBody, 400),
        (service.api.errors.UnauthorizedError, 401),
        (service.api.errors.ForbiddenError, 403),
        (errors.ItemNotFound, 404),
        (errors.ArtifactMismatch, 409),
        (service.api.errors.BodyTooLarge, 413),
        (errors.ImageTooLarge, 413),
        (service.api.errors.UnsupportedMediaType, 415),
        (errors.UnreadableImage, 422),
        (errors.EmptyText, 422),
        (errors.TextTooLong, 422),
        (errors.UnsupportedQuery, 422),
        (NotReadyError, 503),
    ],
)
def test_statuses(kind: type[AahrError], status: int) -> None:
    assert status_of(kind("wrong")) == status


def test_overload_says_when_to_come_again() -> None:
    response = aahr_error_response(OverloadedError("too many", 2.1))
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize("text", ["\ud800", "a" * 1_000_000, "\x00"])
def test_what_a_client_sent_can_be_shown(text: str) -> None:
    response = error_response(422, "code", text, text)
    answer = json.loads(bytes(response.body))["error"]
    assert answer["code"] == "code"
    assert len(response.body) < 5000


def test_waiting_and_asking_again_are_told() -> None:
    assert aahr_error_response(service.api.errors.NotReadyError("soon")).headers["retry-after"] == "1"
    assert aahr_error_response(service.api.errors.UnauthorizedError("who?")).headers["www-authenticate"] == "Bearer"
