"""A Redis behind a proxy that can be slow or answer rubbish, and the faults of a real one."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 65_536


class FaultyProxy:
    """Forwards bytes between clients and a port of this machine, late or replaced where it is told so."""

    def __init__(self, port: int) -> None:
        self.delay_s = 0.0
        self.rubbish: bytes | None = None
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more clients."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up who waits for a client
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                threading.Thread(target=self._forward, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        """Until one side ends; each socket is the source of one thread, which closes it."""
        with source, suppress(OSError):
            while chunk := source.recv(_CHUNK):
                if answers:
                    time.sleep(self.delay_s)
                    chunk = self.rubbish or chunk
                sink.sendall(chunk)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def faulty_proxy(port: int) -> Iterator[FaultyProxy]:
    """A proxy in front of a port."""
    proxy = FaultyProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """A process that does nothing for the time of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
