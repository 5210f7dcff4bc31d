"""`aahr serve`: whatever can go wrong is found before the port is opened."""

import contextlib
import socket
from pathlib import Path

import uvicorn

from model.errors import ConfigError
from service.app import create_app
from service.cache import make_cache
from service.core.engine import Engine
from service.obs.logging import configure_logging
from service.obs.metrics import Metrics
from service.obs.tracing import make_tracing
from service.settings import Settings, read_settings

_BACKLOG = 2048
_SHUTDOWN_S = 10


def serve(
    index: str | None = None,
    model_directory: Path | None = None,
    host: str | None = None,
    port: int | None = None,
) -> None:
    """Serve an index until the process is told to stop; arguments that are None come from the environment.

    Raises ConfigError for a setting that cannot work, ArtifactMissing, ArtifactCorrupt and ArtifactMismatch for an
    index or a model that cannot be used.
    """
    settings = read_settings(index_dir=index, model_dir=model_directory, host=host, port=port)
    configure_logging(settings.log_format, settings.log_level)
    tracing = make_tracing(settings.otlp_endpoint, settings.otlp_protocol)
    cache = make_cache(settings)
    engine = Engine.load(settings.index_dir, settings.model_dir, workers=settings.workers)
    listener = open_port(settings)
    app = create_app(settings, engine, cache, Metrics(), tracing, on_ready=lambda: _announce(engine, listener))
    config = uvicorn.Config(
        app,
        # Requests are logged by the middleware, and uvicorn's other lines in the format of all.
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        server_header=False,
        # X-Forwarded-For is written by the client: trusting it would let anybody pose as a client on this machine.
        proxy_headers=False,
    )
    # uvicorn raises Ctrl-C again after the server has shut down cleanly.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def open_port(settings: Settings) -> socket.socket:
    """A listening socket; raises ConfigError where the address is in use or does not belong to this machine."""
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error}; choose another --host or --port") from error
    # Connections inherit this. asyncio sets it only if the socket names its protocol; without it, the body of an
    # answer, a second write after its head, is delayed by 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _announce(engine: Engine, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    index = engine.index
    print(f"Serving {engine.location} (version {index.version}) at http://{where}:{port}", flush=True)
