"""A server of OpenAI's chat completions, which answers as a test says and remembers what it was asked."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from PIL import Image

CAPTION = "A caption of the server."


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        number: from 0, in the order in which they came.
        image: as it arrived. Tests tell images apart by their width.
    """

    number: int
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    image: Image.Image

    @property
    def text(self) -> str:
        """What is asked of the image."""
        text: str = self.body["messages"][-1]["content"][-1]["text"]
        return text

    @property
    def wants_caption(self) -> bool:
        return "one sentence" in self.text


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        after_s: until anything is sent, in seconds.
        byte_s: between any two bytes of the body, in seconds.
        drop: the connection is closed in the middle of the body.
    """

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    byte_s: float = 0.0
    drop: bool = False


Script = Callable[[Asked], Reply]


def completion(content: Any, *, finish: str = "stop", usage: Any = (100, 20), **more: Any) -> Reply:
    """A chat completion with this message; `usage`: tokens in and out, or what stands there instead."""
    counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]} if isinstance(usage, tuple) else usage
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}
    return Reply(json.dumps({"object": "chat.completion", "choices": [choice], "usage": counts}).encode())


def refusal(status: int, message: str, *, code: str | None = None, **headers: str) -> Reply:
    """An error as OpenAI words it; underscores in the names of headers stand for hyphens."""
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code}}).encode()
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def describing(asked: Asked) -> Reply:
    """What a good server says: a caption, or a description that names the width of the image."""
    return completion(CAPTION if asked.wants_caption else f"An image that is {asked.image.width} pixels wide.")


class ChatServer:
    """What was asked of it, and where it is."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.under_way = 0
        self.most_under_way = 0
        self.url = ""
        self._lock = Lock()

    def reply(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Remember a request, and what the script says to it."""
        request = json.loads(body)
        url = request["messages"][-1]["content"][0]["image_url"]["url"]
        image = Image.open(BytesIO(base64.b64decode(url.partition("base64,")[2])))
        image.load()
        with self._lock:
            asked = Asked(len(self.asked), path, headers, request, image)
            self.asked.append(asked)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        return self.script(asked)

    def done(self) -> None:
        """A reply is about to go out."""
        with self._lock:
            self.under_way -= 1

    def described(self) -> list[int]:
        """The widths of the images that a description was asked of, in order of arrival."""
        return [asked.image.width for asked in self.asked if not asked.wants_caption]


@contextmanager
def chat_server(script: Script = describing) -> Iterator[ChatServer]:
    """A server on a free port of 127.0.0.1."""
    chat = ChatServer(script)
    http = _Http(("127.0.0.1", 0), _handler(chat))
    chat.url = f"http://127.0.0.1:{http.server_port}"
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield chat
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # one may still be trickling

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave early are what is tested."""


def _handler(chat: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = chat.reply(self.path, dict(self.headers), body)
            time.sleep(reply.after_s)
            chat.done()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self._send(reply)

        def _send(self, reply: Reply) -> None:
            if reply.drop:
                self.wfile.write(reply.body[: len(reply.body) // 2])
                self.close_connection = True
            elif reply.byte_s:
                for byte in reply.body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(reply.byte_s)
            else:
                self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    return Handler


def write_images(folder: Path, widths: range) -> Path:
    """Images named after their widths, half of them in a sub-folder."""
    for width in widths:
        path = folder / ("even" if width % 2 == 0 else "") / f"{width}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, 20), "teal").save(path)
    return folder
