"""`aahr serve`: whatever can go wrong is found before the port is opened."""

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from index.collection.open import open_store
from model.errors import ConfigError
from service.api.auth import Gate
from service.app import create_app
from service.cache import make_cache
from service.core.batching import BatchLimits
from service.core.budget import Workers
from service.core.generation import Generation, Loader
from service.protocol import LimitedProtocol
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
    app = load_app(settings, lambda generation: _announce(settings, generation, listener))
    listener = open_port(settings)
    config = uvicorn.Config(
        app,
        http=LimitedProtocol,
        # There is none to speak to, and its connections would pass by every limit.
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SHUTDOWN_S,
        server_header=False,
        # X-Forwarded-For is written by the client: trusting it would let anybody pose as a client on this machine.
        proxy_headers=False,
    )
    # uvicorn raises Ctrl-C again after the server has shut down cleanly.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def load_app(settings: Settings, on_ready: Callable[[Generation], None] = lambda _: None) -> FastAPI:
    """The application with its model and index loaded and checked; raises as `serve`, but for the port."""
    # Refused at once, and not after the model has been loaded.
    Gate.of(settings)
    cache = make_cache(settings)
    loader = make_loader(settings)
    first = loader.load()
    return create_app(settings, loader, first, cache, on_ready=lambda: on_ready(first))


def make_loader(settings: Settings) -> Loader:
    """What loads the generations that the settings name; raises ConfigError for a location that cannot be read."""
    limits = BatchLimits(settings.max_batch, settings.max_wait_ms / 1000, settings.max_queue)
    return Loader(open_store(settings.index_dir), Workers(settings.workers), limits, model_directory=settings.model_dir)


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


def _announce(settings: Settings, generation: Generation, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    version = generation.collection.version
    print(f"Serving {settings.index_dir} (version {version}) at http://{where}:{port}", flush=True)
