"""Encoding through `model.runtime.Runtime` against bare ONNX Runtime sessions on the same graphs and tensors.

    python benchmarks/encoding.py --model DIR --json OUT [--images DIR]

The bare sessions are tried with every core inside an operator and with one call a core side by side, each with several
rows a call; the best of them is the measure. All settings take turns within a round, so that what else the machine does
meets them alike; a ratio is the median over the rounds of runtime / best bare session. Target: 0.90.
"""

import itertools
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime as ort
import typer
from numpy.typing import NDArray
from PIL import Image

from model.cores import usable_cores
from model.preprocess import decode_image, prepare_image, prepare_images
from model.runtime import Runtime

IMAGES = 48
TEXTS = 192
ROUNDS = 9
ROWS_PER_CALL = (1, 8, 32)
WORDS = (
    "a",
    "the",
    "two",
    "dogs",
    "man",
    "girl",
    "red",
    "white",
    "in",
    "on",
    "near",
    "beach",
    "runs",
    "jumping",
    "water",
)

Feeds = dict[str, NDArray[Any]]
Encode = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """Items a second, and milliseconds for one item alone."""

    ratio: float
    runtime_per_s: float
    bare_per_s: float
    bare_setting: str
    bare_settings_per_s: dict[str, float]
    runtime_one_ms: float
    bare_one_ms: float


def main(
    model: Annotated[Path, typer.Option(help="Model artifact written by `aahr export`.")],
    json_out: Annotated[Path, typer.Option("--json", help="File to write the figures to.")],
    images: Annotated[Path | None, typer.Option(help="Folder of JPEGs; default: drawn ones.")] = None,
) -> None:
    """Compare the runtime with bare sessions and write the figures."""
    files = image_files(images) if images else drawn_images()
    with Runtime.load(model) as runtime:
        runtime.warm_up()
        report: dict[str, Any] = {
            "model": {"name": runtime.name, "model_id": runtime.model_id},
            "cores": usable_cores(),
            "load_before": os.getloadavg()[0],
            "onnxruntime": ort.__version__,
            "images": str(images) if images else "drawn",
            **_image_figures(runtime, files),
            **_text_figures(runtime, sentences()),
        }
    json_out.parent.mkdir(parents=True, exist_ok=True)
    json_out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def _image_figures(runtime: Runtime, files: Sequence[bytes]) -> dict[str, Any]:
    preprocessing = runtime.preprocessing.image
    if preprocessing is None:
        return {}
    decoded = [decode_image(file, at_least=preprocessing.size) for file in files]
    pixels = prepare_images(decoded, preprocessing)
    comparison = _compare(
        runtime.artifact.image_graph,
        {"pixels": pixels},
        lambda: runtime.encode_pixels(pixels),
        lambda: runtime.encode_pixels(pixels[:1]),
    )
    decode = _median_time(lambda: [decode_image(file, at_least=preprocessing.size) for file in files])
    prepare = _median_time(lambda: [prepare_image(image, preprocessing) for image in decoded])
    return {
        "image_ratio": comparison.ratio,
        "image": asdict(comparison),
        "decode_per_s_per_thread": len(files) / decode,
        "prepare_per_s_per_thread": len(files) / prepare,
    }


def _text_figures(runtime: Runtime, texts: Sequence[str]) -> dict[str, Any]:
    tokens, alone = runtime.tokenizer(texts), runtime.tokenizer(texts[:1])
    comparison = _compare(
        runtime.artifact.text_graph,
        {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask},
        lambda: runtime.encode_tokens(tokens),
        lambda: runtime.encode_tokens(alone),
    )
    tokenise = _median_time(lambda: runtime.tokenizer(texts))
    return {"text_ratio": comparison.ratio, "text": asdict(comparison), "tokenise_per_s": len(texts) / tokenise}


def _compare(graph: Path, feeds: Feeds, encode_all: Encode, encode_one: Encode) -> Comparison:
    cores, rows = usable_cores(), len(next(iter(feeds.values())))
    wide, narrow = _session(graph, cores), _session(graph, 1)
    with ThreadPoolExecutor(cores) as pool:
        bare = {
            f"{threads} intra-op, {calls} calls, {size} rows": _bare(pool if calls > 1 else None, session, feeds, size)
            for (session, threads, calls), size in itertools.product(
                ((wide, cores, 1), (narrow, 1, cores)), ROWS_PER_CALL
            )
        }
        times = take_turns({"runtime": encode_all, **bare})
    best = min(bare, key=lambda name: statistics.median(times[name]))
    first = _without_padding({name: array[:1] for name, array in feeds.items()})
    alone = take_turns({"runtime": encode_one, "bare": lambda: wide.run(["embedding"], first)})
    per_second = {name: rows / statistics.median(seconds) for name, seconds in times.items()}
    return Comparison(
        ratio=statistics.median(b / r for b, r in zip(times[best], times["runtime"], strict=True)),
        runtime_per_s=per_second.pop("runtime"),
        bare_per_s=per_second[best],
        bare_setting=best,
        bare_settings_per_s=per_second,
        runtime_one_ms=1000 * statistics.median(alone["runtime"]),
        bare_one_ms=1000 * statistics.median(alone["bare"]),
    )


def _without_padding(feeds: Feeds) -> Feeds:
    if (mask := feeds.get("attention_mask")) is None:
        return feeds
    return {name: array[:, : mask.sum(axis=1).max()] for name, array in feeds.items()}


def _session(graph: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads of an idle session would slow down whichever setting has its turn next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(graph, options, providers=ort.get_available_providers())


def _bare(pool: ThreadPoolExecutor | None, session: ort.InferenceSession, feeds: Feeds, size: int) -> Encode:
    rows = len(next(iter(feeds.values())))
    calls = [{name: array[start : start + size] for name, array in feeds.items()} for start in range(0, rows, size)]

    def encode() -> object:
        run = map if pool is None else pool.map
        return list(run(lambda call: session.run(["embedding"], call), calls))

    return encode


def take_turns(encoders: dict[str, Encode]) -> dict[str, list[float]]:
    """Seconds of each encoder in each round, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in encoders}
    for turn in range(ROUNDS + 1):
        for name, encode in encoders.items():
            seconds = _time(encode)
            if turn:
                times[name].append(seconds)
    return times


def _median_time(work: Encode) -> float:
    return statistics.median(_time(work) for _ in range(ROUNDS))


def _time(work: Encode) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def image_files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))[:IMAGES]]


def drawn_images() -> list[bytes]:
    """JPEGs of 500 x 375 with gradients and some noise, as large in bytes as photographs of that size."""
    rng = np.random.default_rng(0)
    across, down = np.meshgrid(np.linspace(0, 200, 500), np.linspace(0, 200, 375))
    files = []
    for _ in range(IMAGES):
        pixels = np.stack([across, down, 200 - across], -1) + rng.integers(0, 55, (375, 500, 3))
        buffer = BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", quality=75)
        files.append(buffer.getvalue())
    return files


def sentences() -> list[str]:
    """Sentences of 4 to 20 words, as captions have."""
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(4, 21))) for _ in range(TEXTS)]


if __name__ == "__main__":
    typer.run(main)
