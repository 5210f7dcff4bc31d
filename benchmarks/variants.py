"""Sizes and speeds of one model exported in several precisions, on one thread, all taking turns.

    python benchmarks/variants.py --model var/mini --model var/mini-fp16 --model var/mini-int8 --json variants.json

`speed_over_first` is the median over the rounds of the time of the first model / the time of this one: what else the
machine does meets them alike. `val` is what the manifest says of the val split.
"""

import json
import os
import statistics
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime as ort
import typer
from encoding import Encode, drawn_images, image_files, sentences, take_turns

from model.errors import ConfigError
from model.preprocess import ImagePreprocessing, decode_image, prepare_images
from model.runtime import Runtime

Work = tuple[int, list[Encode]]


def main(
    models: Annotated[list[Path], typer.Option("--model", help="Model of `aahr export`; the first is compared with.")],
    json_out: Annotated[Path, typer.Option("--json", help="File to write the figures to.")],
    images: Annotated[Path | None, typer.Option(help="Folder of JPEGs; default: drawn ones.")] = None,
) -> None:
    """Measure every model and write the figures."""
    with ExitStack() as stack:
        runtimes = [stack.enter_context(Runtime.load(model, workers=1)) for model in models]
        if len({runtime.model_id for runtime in runtimes}) < len(runtimes):
            raise ConfigError("two of the models are the same")
        rows = [_described(model, runtime) for model, runtime in zip(models, runtimes, strict=True)]
        for name, (items, encoders) in _works(runtimes, images).items():
            for row, figures in zip(rows, _speeds(items, encoders), strict=True):
                row[name] = figures
    report = {"threads": 1, "load_after": os.getloadavg()[0], "onnxruntime": ort.__version__, "models": rows}
    json_out.parent.mkdir(parents=True, exist_ok=True)
    json_out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def _described(directory: Path, runtime: Runtime) -> dict[str, Any]:
    manifest = runtime.artifact.manifest
    return {
        "model": str(directory),
        "model_id": manifest.model_id,
        "precision": manifest.precision,
        "bytes": {name: entry.bytes for name, entry in manifest.files.items() if name.endswith(".onnx")},
        "val": {name: value for name, value in manifest.evaluation.items() if name.endswith("/rsum")},
    }


def _works(runtimes: list[Runtime], images: Path | None) -> dict[str, Work]:
    """By name: how many items, and for each model what encodes them."""
    texts = sentences()
    tokens, one_text = (runtimes[0].tokenizer(chosen) for chosen in (texts, texts[:1]))
    works: dict[str, Work] = {
        "texts": (len(texts), [partial(runtime.encode_tokens, tokens) for runtime in runtimes]),
        "one_text": (1, [partial(runtime.encode_tokens, one_text) for runtime in runtimes]),
    }
    preprocessing = runtimes[0].preprocessing.image
    if preprocessing is not None:
        pixels = _pixels(preprocessing, images)
        works["images"] = (len(pixels), [partial(runtime.encode_pixels, pixels) for runtime in runtimes])
        works["one_image"] = (1, [partial(runtime.encode_pixels, pixels[:1]) for runtime in runtimes])
    return works


def _pixels(preprocessing: ImagePreprocessing, images: Path | None) -> np.ndarray[Any, np.dtype[np.float32]]:
    files = image_files(images) if images else drawn_images()
    return prepare_images([decode_image(file, at_least=preprocessing.size) for file in files], preprocessing)


def _speeds(items: int, encoders: list[Encode]) -> list[dict[str, float]]:
    """For each encoder: items a second, milliseconds an item, and how many times as fast as the first it is."""
    times = list(take_turns({str(number): encode for number, encode in enumerate(encoders)}).values())
    return [
        {
            "per_s": items / statistics.median(seconds),
            "ms": 1000 * statistics.median(seconds) / items,
            "speed_over_first": statistics.median(a / b for a, b in zip(times[0], seconds, strict=True)),
        }
        for seconds in times
    ]


if __name__ == "__main__":
    typer.run(main)
