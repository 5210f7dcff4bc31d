"""`aahr serve`: everything that can be wrong is found before the port is opened."""

import contextlib
import socket
from pathlib import Path

import uvicorn

from model.errors import ConfigError
from service.app import create_app
from service.cache import make_cache
from service.engine import Engine
from service.settings import Settings, read_settings

_BACKLOG = 2048
_SHUTDOWN_S = 10


def serve(
    index_directory: Path | None = None,
    model_directory: Path | None = None,
    host: str | None = None,
    port: int | None = None,
) -> None:
    """Serve an index until the process is told to stop; arguments that are None come from the environment.

    Raises ConfigError for a setting that cannot work, ArtifactMissing, ArtifactCorrupt and ArtifactMismatch for an
    index or a model that cannot be used.
    """
    settings = read_settings(index_dir=index_directory, model_dir=model_directory, host=host, port=port)
    cache = make_cache(settings)
    engine = Engine.load(settings.index_dir, settings.model_dir, workers=settings.workers)
    listener = open_port(settings)
    app = create_app(settings, engine, cache, on_ready=lambda: _announce(engine, listener))
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_SHUTDOWN_S,
        server_header=False,
        # X-Forwarded-For is what the client wrote: believed, it could make anybody a client on this machine.
        proxy_headers=False,
    )
    # Ctrl-C has ended the server in order already when uvicorn passes it on.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def open_port(settings: Settings) -> socket.socket:
    """A listening socket; raises ConfigError where the address is taken or not one of this machine."""
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error}; choose another --host or --port") from error
    # Connections inherit it. asyncio sets it only where the protocol of the socket is given, and without it head and
    # body of an answer, which are two writes, wait 40 ms for each other.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _announce(engine: Engine, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    index = engine.index
    print(f"Serving {index.directory} (version {index.version}) at http://{where}:{port}", flush=True)
