"""`aahr serve`: whatever can go wrong is found before the port is opened."""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from index.collection.open import open_store
from model.cores import usable_cores
from model.errors import ConfigError
from service.api.auth import Gate
from service.app import create_app
from service.cache import make_cache
from service.core.batching import BatchLimits
from service.core.budget import Workers
from service.core.generation import Generation, Loader
from service.describers import make_describing
from service.obs.logging import configure_logging
from service.obs.metrics import Metrics
from service.obs.multiprocess import VARIABLE, forget_worker, prepare_directory
from service.obs.observers import QueueObserver
from service.obs.tracing import make_tracing
from service.protocol import LimitedProtocol
from service.settings import Settings, read_settings, variable_of

_BACKLOG = 2048
_SHUTDOWN_S = 10
_MEMORY = Path("/dev/shm")


def serve(
    index: str | None = None,
    model_directory: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
) -> None:
    """Serve an index until the process is told to stop; arguments that are None come from the environment.

    Raises ConfigError for a setting that cannot work, ArtifactMissing, ArtifactCorrupt and ArtifactMismatch for an
    index or a model that cannot be used.
    """
    given = {"index_dir": index, "model_dir": model_directory, "host": host, "port": port, "workers": workers}
    settings = read_settings(**given)
    configure_logging(settings.log_format, settings.log_level)
    # Refused at once, and not after the model has been loaded.
    Gate.of(settings)
    if settings.workers > 1:
        _serve_from_many(settings, given)
        return
    app = load_app(settings, lambda generation: _announce(settings, generation.collection.version, listener))
    listener = open_port(settings)
    # uvicorn raises Ctrl-C again after the server has shut down cleanly.
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(_config(app)).run(sockets=[listener])


def worker_app() -> FastAPI:
    """The application of one of several workers, which finds the settings in its environment."""
    settings = read_settings()
    configure_logging(settings.log_format, settings.log_level)
    return load_app(settings)


def _serve_from_many(settings: Settings, given: Mapping[str, object]) -> None:
    """Start the workers and start anew those that end; they share the port that this process opens.

    The index is opened here first, so that whatever is wrong with it is said once.
    """
    loader = make_loader(settings)
    version = loader.store.open().version
    loader.workers.close()
    listener = open_port(settings)
    os.environ.update({variable_of(name): str(value) for name, value in given.items() if value is not None})
    # In memory where there is such a place: a full disk under a mapped file ends the process that writes to it.
    with TemporaryDirectory(prefix="aahr-metrics-", dir=_MEMORY if _MEMORY.is_dir() else None) as shared:
        prepare_directory(Path(shared))
        os.environ[VARIABLE] = shared
        config = _config("service.server:worker_app", factory=True, workers=settings.workers)
        _Workers(config, [listener], Path(shared), lambda: _announce(settings, version, listener)).run()


class _Workers(Multiprocess):
    """Says once that all workers are ready, and takes those that have ended out of the metrics."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], shared: Path, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config, sockets)
        self._shared = shared
        self._on_ready: Callable[[], None] | None = on_ready

    def keep_subprocess_alive(self) -> None:
        """Called twice a second."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            if pid is not None:
                forget_worker(self._shared, pid)
        if self._on_ready is not None and all(process.is_ready(timeout=1) for process in self.processes):
            self._on_ready()
            self._on_ready = None


def _config(app: FastAPI | str, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        # There is none to speak to, and its connections would pass by every limit.
        ws="none",
        # Requests are logged by the middleware, and uvicorn's other lines in the format of all.
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        server_header=False,
        # X-Forwarded-For is written by the client: trusting it would let anybody pose as a client on this machine.
        proxy_headers=False,
        **more,
    )


def load_app(settings: Settings, on_ready: Callable[[Generation], None] = lambda _: None) -> FastAPI:
    """The application with its model and index loaded and checked; raises as `serve`, but for the port."""
    tracing = make_tracing(settings.otlp_endpoint, settings.otlp_protocol)
    metrics = Metrics()
    cache = make_cache(settings, metrics)
    loader = make_loader(settings, metrics)
    first = loader.load()
    return create_app(settings, loader, first, cache, metrics, tracing, on_ready=lambda: on_ready(first))


def make_loader(settings: Settings, observer: QueueObserver | None = None) -> Loader:
    """What loads the generations that the settings name; raises ConfigError for a location that cannot be read."""
    threads = settings.threads or max(1, usable_cores() // settings.workers)
    limits = BatchLimits(settings.max_batch, settings.max_wait_ms / 1000, settings.max_queue)
    return Loader(
        open_store(settings.index_dir),
        Workers(threads),
        limits,
        model_directory=settings.model_dir,
        observer=observer,
        describing=make_describing(settings),
    )


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


def _announce(settings: Settings, version: str, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    print(f"Serving {settings.index_dir} (version {version}) at http://{where}:{port}", flush=True)
