"""Images from URLs, and every way that is known to make a service fetch what it must not."""

import asyncio
import time
from collections.abc import Sequence

import httpx
import pytest

from model.errors import AahrError
from service.api.errors import UrlFetchingDisabled, UrlNotAllowed, UrlNotAnImage, UrlTooLarge, UrlUnreachable
from service.api.fetch import ImageFetcher, NoFetching, _pinned, make_fetcher, resolve_name
from service.settings import Settings
from tests.unit.service.api.fake_web import IMAGE, PRIVATE, PUBLIC, Web, fetch_from, ok, redirect


def test_an_image_of_a_public_server_comes_back_as_it_is() -> None:
    content, internet = fetch_from("http://site.example:PORT/a%20b.png?size=1#part")
    assert content == IMAGE
    (head,) = internet.asked[PUBLIC]
    assert head.startswith("GET /a%20b.png?size=1 HTTP/1.1\r\n")
    lines = head.lower().split("\r\n")
    assert f"host: site.example:{internet.port}" in lines
    assert "accept-encoding: identity" in lines
    assert not [line for line in lines if line.startswith(("cookie", "authorization", "proxy", "x-forwarded"))]


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://site.example/a.png", "gopher://site.example/", "data:image/png;base64,AA"),
        *("//site.example/a.png", "/a.png", "site.example/a.png", "", "http://", "http:///a.png", "https:site.example"),
        *("http://user@site.example:PORT/", "http://user:pass@site.example:PORT/", "http://@site.example:PORT/"),
        *("http://site.example:PORT@127.0.0.1:PORT/", "http://site.example\\@127.0.0.1:PORT/"),
        *("http://127.0.0.1:PORT\\@site.example/", "http://site.example:PORT/ a", "http://site.example:PORT/\r\nX: y"),
        *(
            "http://site.example:PORT/\x00",
            "http://site.example:22/",
            "http://site.example:6379/",
            "http://site.example:0",
        ),
        *("http://site.example:99999/", "http://site.example:x/", "http://[::1/", "http://[site.example]/"),
        *("http://ｓite.example:PORT/", "http://site.example:PORT/" + "a" * 2048),
    ],
)
def test_urls_that_break_a_rule_are_refused_before_anything_is_asked(url: str) -> None:
    error, internet = fetch_from(url)
    assert isinstance(error, UrlNotAllowed), error
    assert internet.asked == {PUBLIC: [], PRIVATE: []}


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "2130706433", "0x7f000001", "017700000001", "0x7f.0.0.1", "0177.0.0.1", "127.1"),
        *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "0.0.0.0", "[64:ff9b::7f00:1]", "169.254.169.254"),
        *("LOCALHOST", "localhost.", "127.0.0.1.", "%31%32%37.0.0.1", "inside.example", "both.example"),
    ],
)
def test_no_spelling_of_a_private_address_is_connected_to(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the resolver of the machine, which reads numbers in all the old ways."""
    names = {"inside.example": [PRIVATE], "both.example": [PUBLIC, PRIVATE]}

    async def resolve(_web: Web, name: str, port: int) -> Sequence[str]:
        return names.get(name) or await resolve_name(name, port)

    monkeypatch.setattr(Web, "resolve", resolve)
    error, internet = fetch_from(f"http://{host}:PORT/")
    assert isinstance(error, UrlUnreachable | UrlNotAllowed), error
    assert internet.asked[PRIVATE] == []


def test_a_name_that_resolves_otherwise_the_second_time_gains_nothing() -> None:
    """DNS rebinding: the connection goes to the address that was checked."""
    content, internet = fetch_from("http://rebind.example:PORT/", names={"rebind.example": [[PUBLIC], [PRIVATE]]})
    assert content == IMAGE
    assert (len(internet.asked[PUBLIC]), internet.asked[PRIVATE]) == (1, [])


def test_a_redirect_is_resolved_and_checked_again() -> None:
    error, internet = fetch_from(
        "http://rebind.example:PORT/",
        lambda _: redirect("http://rebind.example:PORT/again"),
        {"rebind.example": [[PUBLIC], [PRIVATE]]},
    )
    assert isinstance(error, UrlUnreachable)
    assert (len(internet.asked[PUBLIC]), internet.asked[PRIVATE]) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://127.0.0.1:PORT/", UrlUnreachable),
        ("//127.0.0.1:PORT/", UrlUnreachable),
        ("http://inside.example:PORT/", UrlUnreachable),
        ("http://user@site.example:PORT/", UrlNotAllowed),
        ("http://127.0.0.1:22/", UrlNotAllowed),
        ("file:///etc/passwd", UrlNotAllowed),
    ],
)
def test_redirects_to_the_inside_are_not_followed(location: str, error: type[AahrError], status: int) -> None:
    given, internet = fetch_from(
        "http://site.example:PORT/", lambda _: redirect(location, status), {"inside.example": [[PRIVATE]]}
    )
    assert isinstance(given, error), given
    assert internet.asked[PRIVATE] == []


def test_redirects_are_followed_three_times() -> None:
    def hop(head: str) -> bytes:
        number = int(head.split(" ")[1][1:])
        return ok() if number == 0 else redirect(f"/{number - 1}")

    assert fetch_from("http://site.example:PORT/3", hop)[0] == IMAGE
    error, internet = fetch_from("http://site.example:PORT/4", hop)
    assert isinstance(error, UrlUnreachable)
    assert len(internet.asked[PUBLIC]) == 4


def test_cookies_are_not_kept() -> None:
    def answer(head: str) -> bytes:
        return ok() if "/2" in head else redirect("/2").replace(b"Location", b"Set-Cookie: a=b\r\nLocation")

    content, internet = fetch_from("http://site.example:PORT/1", answer)
    assert content == IMAGE
    assert "cookie" not in internet.asked[PUBLIC][1].lower()


@pytest.mark.parametrize(
    "answer",
    [
        ok(kind="text/html"),
        ok(kind="application/octet-stream"),
        ok(kind="imagex/png"),
        ok(IMAGE, "image/png", "Content-Encoding: gzip"),
        ok().replace(b"200 OK", b"404 Not Found"),
        ok().replace(b"200 OK", b"206 Partial Content"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_not_an_image_is_refused(answer: bytes) -> None:
    assert isinstance(fetch_from("http://site.example:PORT/", lambda _: answer)[0], UrlNotAnImage)


@pytest.mark.parametrize("is_announced", [True, False])
def test_large_images_are_refused(is_announced: bool) -> None:
    answer = ok(b"x" * 1001)
    if not is_announced:
        answer = answer.replace(b"Content-Length: 1001", b"Connection: close")
    assert isinstance(fetch_from("http://site.example:PORT/", lambda _: answer)[0], UrlTooLarge)
    assert fetch_from("http://site.example:PORT/", lambda _: ok(b"x" * 1000))[0] == b"x" * 1000


def test_a_server_that_does_not_answer_is_given_up() -> None:
    started = time.perf_counter()
    error, _ = fetch_from("http://site.example:PORT/", lambda _: None, total_s=0.1)
    assert isinstance(error, UrlUnreachable)
    assert time.perf_counter() - started < 2


def test_a_resolver_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object) -> Sequence[str]:
        await asyncio.sleep(10)
        return []

    monkeypatch.setattr(Web, "resolve", resolve)
    assert isinstance(fetch_from("http://site.example:PORT/", total_s=0.1)[0], UrlUnreachable)


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000])
def test_servers_that_do_not_speak_http(answer: bytes) -> None:
    assert isinstance(fetch_from("http://site.example:PORT/", lambda _: answer)[0], UrlUnreachable)


def test_errors_do_not_tell_what_is_inside() -> None:
    """A host that is there, one that is not, a closed port and a silent server are all the same."""
    names = {"inside.example": [[PRIVATE]], "nowhere.example": [[]], "closed.example": [["127.0.0.3"]]}
    told = {
        (type(error), str(error))
        for url in ("http://inside.example:PORT/", "http://nowhere.example:PORT/", "http://closed.example:PORT/")
        if isinstance(error := fetch_from(url, names=names)[0], AahrError)
    }
    told |= {(type(error), str(error)) for error in [fetch_from("http://site.example:443/")[0]] if error}
    ((kind, message),) = told
    assert kind is UrlUnreachable
    for secret in (PRIVATE, "refused", "inside", "resolve"):
        assert secret not in message


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert fetch_from("http://site.example:PORT/")[0] == IMAGE


def test_the_certificate_must_be_that_of_the_name() -> None:
    request = httpx.Request("GET", "https://xn--bcher-kva.example/a")
    pinned = _pinned(request, "2606:4700::1")
    assert (pinned.url.host, pinned.url.scheme, pinned.url.path) == ("2606:4700::1", "https", "/a")
    assert pinned.headers["host"] == "xn--bcher-kva.example"
    assert pinned.extensions["sni_hostname"] == "xn--bcher-kva.example"


def test_fetching_is_off_unless_it_is_allowed() -> None:
    fetcher = make_fetcher(Settings.model_validate({"index_dir": "index"}))
    assert isinstance(fetcher, NoFetching)
    with pytest.raises(UrlFetchingDisabled, match="AAHR_FETCH_URLS=true"):
        asyncio.run(fetcher.fetch("http://site.example/"))
    allowed = make_fetcher(Settings.model_validate({"index_dir": "index", "fetch_urls": True}))
    assert isinstance(allowed, ImageFetcher)
    asyncio.run(allowed.close())
