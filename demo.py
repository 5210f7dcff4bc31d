"""`aahr demo`: from the trained checkpoint to a gallery that is searched, in the commands that a user would type.

Each stage is a command of its own, shown before it runs. What the demo asks in the end was asked of the running server
first, so that the answers it promises are those that the reader will get.
"""

import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from model.errors import AahrError, ArtifactMissing, ConfigError

HOST = "127.0.0.1"
SCENES = 240
# No recipe trains on the scenes of this seed: the demo's images are new to the model.
SCENES_SEED = 2025
READY_WITHIN_S = 120.0
# What the package scikit-image (extra `demo`) brings that is free of rights; NOTICE says of whom each is.
PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "rocket.jpg"),
)
# At most this many of the user's own images are tried as queries before the demo gives up on a promised answer.
OWN_IMAGES_TRIED = 20


@dataclass(frozen=True)
class Question:
    """A query in one curl line, and the answer that it gets first."""

    line: str
    answer: str


@dataclass(frozen=True)
class Gallery:
    """An index, the images in it, and scenes.json where the demo has drawn them."""

    index: Path
    images: Path
    scenes: Mapping[str, Any] | None


def run_demo(directory: Path, checkpoint: Path, images: Path | None, port: int, serve: bool) -> None:
    """Prepare model and gallery below `directory`, then serve them and show one question in each direction.

    What an earlier demo prepared is used again. Raises ConfigError for a port that is taken and AahrError where the
    server answers no question right; a stage that fails has said why, and its exit status becomes that of the demo.
    """
    if serve:
        _check_port(port)
    model = _prepare_model(checkpoint, directory / "mini")
    gallery = _prepare_scenes(model, directory) if images is None else _prepare_own(model, directory, images)
    if serve:
        with _server(gallery.index, port) as (process, url):
            _print_questions(url, gallery)
            process.wait()


def shipped_checkpoint() -> Path:
    """The trained default: in the checkout, or where installing the wheel has put it.

    Raises ArtifactMissing where it is in neither place.
    """
    beside = Path(__file__).parent / "checkpoints" / "mini"
    if beside.is_dir():
        return beside
    # Where the data of a wheel lies depends on the installer: the list of what was installed knows.
    for file in distribution("aahr").files or ():
        if file.parts[-3:] == ("checkpoints", "mini", "manifest.json"):
            return Path(str(file.locate())).resolve().parent
    raise ArtifactMissing("this installation has no checkpoints/mini; install aahr again, or give --checkpoint")


def _prepare_model(checkpoint: Path, model: Path) -> Path:
    manifest, source = model / "manifest.json", checkpoint / "manifest.json"
    exported = _field(manifest, "checkpoint", "sha256")
    same = exported is not None and exported == _field(source, "files", "model.safetensors", "sha256")
    calibration = ("files", "calibration.json", "sha256")
    if not same or _field(manifest, *calibration) != _field(source, *calibration):
        _stage("export", checkpoint, "--out", model)
    return model


def _prepare_scenes(model: Path, directory: Path) -> Gallery:
    folder, index = directory / "scenes", directory / "index-scenes"
    file, images = folder / "scenes.json", folder / "images"
    if _field(file, "images") is None:
        _stage("data", "scenes", "--out", folder, "--count", SCENES, "--seed", SCENES_SEED)
    added = add_photographs(images)
    if added or _indexed_model(index) != _field(model / "manifest.json", "model_id"):
        _stage("index", "rebuild", "--model", model, "--images", images, "--captions", file, "--out", index)
    return Gallery(index, images, json.loads(file.read_bytes()))


def add_photographs(images: Path) -> bool:
    """Put photographs beside the drawn images, where scikit-image is installed; says whether there are new ones."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        return False
    source, folder = Path(package.origin).with_name("data"), images / "photographs"
    missing = [name for name in PHOTOGRAPHS if (source / name).exists() and not (folder / name).exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
    for name in missing:
        shutil.copyfile(source / name, folder / name)
    return bool(missing)


def _prepare_own(model: Path, directory: Path, images: Path) -> Gallery:
    """The user's folder may have changed since: it is embedded every time."""
    index, images = directory / "index-own", images.expanduser()
    _stage("index", "rebuild", "--model", model, "--images", images, "--out", index)
    return Gallery(index, images, None)


def _indexed_model(index: Path) -> Any:
    """The id of the model that the published version was embedded with; None without a version."""
    try:
        version = (index / "CURRENT").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return _field(index / "versions" / version / "manifest.json", "model", "model_id")


def _field(path: Path, *keys: str) -> Any:
    """A value in a JSON file; None where file, JSON or value is missing or broken: then its stage is run again."""
    try:
        value = json.loads(path.read_bytes())
        for key in keys:
            value = value[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value


def _command(arguments: Iterable[object]) -> list[str]:
    """The command line for a process of its own; -P: the folder where it starts may hold modules of the same names."""
    return [sys.executable, "-P", "-m", "cli", *map(str, arguments)]


def _stage(*arguments: object) -> None:
    print("$", shlex.join(["aahr", *map(str, arguments)]), flush=True)
    status = subprocess.run(_command(arguments), check=False).returncode
    if status:
        raise SystemExit(status)


def _check_port(port: int) -> None:
    """Before anything is prepared, and so that no other server is taken for the demo's own."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise ConfigError(f"port {port} of {HOST} is taken: {error.strerror}; choose another one") from error


@contextmanager
def _server(index: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`aahr serve`, ready to answer; it ends with the block, which Ctrl-C and SIGTERM leave in order."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = subprocess.Popen(_command(["serve", "--index", index, "--host", HOST, "--port", port]))
    try:
        url = f"http://{HOST}:{port}"
        _wait_until_ready(process, url)
        yield process, url
    except KeyboardInterrupt:
        print()
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(process.returncode or 1)
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AahrError(f"the server at {url} is not ready after {READY_WITHIN_S:.0f} s; see what it printed")


def _print_questions(url: str, gallery: Gallery) -> None:
    if gallery.scenes is not None:
        words, image = ask_scenes(url, gallery.images, gallery.scenes)
    else:
        words, image = _ask_own(url, gallery.images)
        print("\nYour images have no captions: an image finds similar ones, itself first. Try words of your own.")
    print(f"\nSearch form: {url}/   API: {url}/docs   Ctrl-C stops the server. In another terminal:")
    print(f"\nA text as the query; best answer: {words.answer}\n  {words.line}")
    print(f"\nAn image as the query; best answer: {image.answer}\n  {image.line}\n", flush=True)


def ask_scenes(url: str, images: Path, scenes: Mapping[str, Any]) -> tuple[Question, Question]:
    """The first caption of one image only that finds this image, and the first image that finds a true caption.

    Raises AahrError where there is none.
    """
    from training.scenes import unique_captions

    captions = unique_captions(scenes, [image["imgid"] for image in scenes["images"]])
    right = (caption for caption in captions if _best(url, text=caption.text).get("uri") == caption.filename)
    if (caption := next(right, None)) is None:
        count = len(captions)
        raise AahrError(f"none of {count} captions finds its image at {url}; the model needs more training")
    words = Question(text_line(url, caption.text), caption.filename)
    for image in scenes["images"]:
        best = _best_of_file(url, images / image["filename"]).get("caption")
        if best is not None and image["imgid"] in _holds(scenes, best):
            return words, Question(file_line(url, images / image["filename"]), best)
    raise AahrError(f"none of {len(scenes['images'])} images finds its caption at {url}; the model needs more training")


def _holds(scenes: Mapping[str, Any], text: str) -> set[int]:
    """The ids of the images for which a caption is true."""
    sentences = (sentence for image in scenes["images"] for sentence in image["sentences"])
    return {image_id for sentence in sentences if sentence["raw"] == text for image_id in sentence["holds"]}


def _ask_own(url: str, images: Path) -> tuple[Question, Question]:
    """No captions are known for the user's images, but an image used as the query is its own best match.

    Raises AahrError where no image finds itself.
    """
    text = "people outdoors"
    found = [hit["uri"] for hit in _search(url, {"text": text, "limit": OWN_IMAGES_TRIED})]
    same = (uri for uri in found if _best_of_file(url, images / uri).get("uri") == uri)
    if (uri := next(same, None)) is None:
        raise AahrError(f"none of {len(found)} images of {images} finds itself at {url}; rebuild the index")
    return Question(text_line(url, text), found[0]), Question(file_line(url, images / uri), uri)


def _best_of_file(url: str, file: Path) -> dict[str, Any]:
    return _best(url, image=b64encode(file.read_bytes()).decode())


def _best(url: str, **query: str) -> dict[str, Any]:
    """The best hit of a query; nothing where the service refuses it, as it does a file that is too large."""
    try:
        return next(iter(_search(url, {**query, "limit": 1})), {})
    except urllib.error.HTTPError as error:
        error.close()
        return {}


def _search(url: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{url}/search", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        hits: list[dict[str, Any]] = json.load(answer)["results"]
    return hits


def text_line(url: str, text: str) -> str:
    """A curl line that searches by a sentence."""
    body = json.dumps({"text": text, "limit": 3}, ensure_ascii=False)
    return shlex.join(["curl", "-s", f"{url}/search", "-H", "Content-Type: application/json", "-d", body])


def file_line(url: str, file: Path) -> str:
    """A curl line that searches by an image file. curl has a quoting of its own, for names with ; or , in them."""
    name = str(file.resolve()).replace("\\", "\\\\").replace('"', '\\"')
    return shlex.join(["curl", "-s", f"{url}/search", "-F", f'image=@"{name}"', "-F", "limit=3"])
