"""What stands before the routes, in the order in which a request meets it."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.api.auth import Admission, Gate
from service.api.body import BodyLimit
from service.api.headers import SecurityHeaders
from service.api.limits import RequestLimits
from service.api.rates import RateLimit, parse_rates
from service.api.trust import HostNames, TrustedRequests
from service.settings import Settings

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SENT = ("Authorization", "Content-Type", "X-Request-ID")
_SHOWN = (
    *("Retry-After", "Server-Timing", "X-Request-ID"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
)


def protect(app: FastAPI, settings: Settings) -> RateLimit | None:
    """Add all middleware that refuses requests; what counts requests, if anything does, is to be closed at the end.

    Raises ConfigError for keys that cannot be used, and where the service would be open to other machines.
    """
    gate, rates = Gate.of(settings), make_rate_limit(settings)
    # The last one added is the first one that a request meets.
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(Admission, gate=gate, rates=rates)
    app.add_middleware(RequestLimits, timeout_s=settings.request_timeout_s, max_concurrency=settings.max_concurrency)
    origins = settings.allowed_origins
    if origins:
        # Outside of what may refuse a request, so that the page learns why.
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=_METHODS, allow_headers=_SENT, expose_headers=_SHOWN
        )
    app.add_middleware(TrustedRequests, names=HostNames(settings), origins=origins)
    app.add_middleware(SecurityHeaders, shares_with_origins=bool(origins))
    return rates


def make_rate_limit(settings: Settings) -> RateLimit | None:
    """None where no limit is set."""
    if settings.rate_limit is None:
        return None
    url = None if settings.redis_url is None else settings.redis_url.get_secret_value()
    return RateLimit(parse_rates(settings.rate_limit), url)
