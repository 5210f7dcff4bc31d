"""Claim: a rebuild embeds at 85 % or more of what decoding and bare ONNX Runtime reach on the same cores.

    python benchmarks/rebuild.py --model MODEL --json rebuild.json

The floor is a loop with nothing around it: as many threads read, decode and resize files and call a bare session, or
call one with captions that were tokenised at once and sorted by their length. Rebuild and floor both load their model,
and take turns, so that what else the machine does meets both; a ratio is the median over the turns of the ratio of
neighbours. `cpu_ratio` is that of the processor time, which other work on the machine hardly changes: what the rebuild
computes beside the floor. Captions are timed with images that are known, so that only their files are read.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import onnxruntime as ort
import typer
from places import FLICKR8K

from index.embedding import Known, KnownRows, Settings, embed_source
from index.items import Modality
from index.sources import Source, read_source
from model.artifact import ModelArtifact, load_model_artifact
from model.cores import usable_cores
from model.preprocess import decode_image, prepare_images
from model.runtime import IMAGE_CHUNK, TEXT_CHUNK
from model.tokens import SentenceTokenizer, longest_first, rows_of, token_feeds

TARGET = 0.85


def main(
    model: Annotated[Path, typer.Option(help="Model artifact written by `aahr export`.")],
    json_out: Annotated[Path | None, typer.Option("--json", help="File to write the figures to.")] = None,
    images: Annotated[int, typer.Option(help="Images of one turn.")] = 1024,
    captions: Annotated[int, typer.Option(help="Captions of one turn, about.")] = 2560,
    turns: Annotated[int, typer.Option(help="Turns of rebuild and floor each.")] = 5,
    workers: Annotated[int, typer.Option(help="Threads; 0: the usable cores.")] = 0,
) -> None:
    """Measure images and captions apart and write the figures."""
    artifact, threads = load_model_artifact(model), workers or usable_cores()
    source = read_source(FLICKR8K / "images", captions=FLICKR8K / "dataset_flickr8k.json")
    uncaptioned = replace(source, records=[replace(each, captions=()) for each in source.records[:images]])
    captioned = replace(source, records=source.records[: captions // 5])
    with tempfile.TemporaryDirectory() as folder:
        known = known_images(captioned, artifact, Path(folder))
        report: dict[str, Any] = {
            "model": artifact.manifest.name,
            "precision": artifact.manifest.precision,
            "threads": threads,
            "target": TARGET,
            "images": take_turns(
                lambda: rebuild(uncaptioned, artifact, threads, None),
                lambda: bare_images(uncaptioned, artifact, threads),
                turns,
                len(uncaptioned.records),
            ),
            "captions": take_turns(
                lambda: rebuild(captioned, artifact, threads, known),
                lambda: bare_captions(captioned, artifact, threads),
                turns,
                captioned.captions,
            ),
        }
    print(json.dumps(report, indent=2))
    if json_out:
        json_out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of all processors together."""

    wall: float
    cpu: float


def take_turns(ours: Callable[[], object], bare: Callable[[], object], turns: int, items: int) -> dict[str, float]:
    """Items a second of both, and the medians of their ratios."""
    costs = [(cost_of(ours), cost_of(bare)) for _ in range(turns)]
    return {
        "ratio": statistics.median(floor.wall / our.wall for our, floor in costs),
        "cpu_ratio": statistics.median(floor.cpu / our.cpu for our, floor in costs),
        "rebuild_per_s": statistics.median(items / our.wall for our, _ in costs),
        "floor_per_s": statistics.median(items / floor.wall for _, floor in costs),
    }


def cost_of(call: Callable[[], object]) -> Cost:
    """What a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def rebuild(source: Source, artifact: ModelArtifact, threads: int, known: Known | None) -> None:
    """Embed a source with everything that belongs to it: shards, their hashes and fsync, the merged arrays."""
    with tempfile.TemporaryDirectory() as folder:
        embed_source(source, artifact, Path(folder), Settings(workers=threads), known=known)


def known_images(source: Source, artifact: ModelArtifact, folder: Path) -> Known:
    """The images of a source as an earlier version knows them."""
    uncaptioned = replace(source, records=[replace(each, captions=()) for each in source.records])
    rows = embed_source(uncaptioned, artifact, folder).rows
    return KnownRows(artifact.manifest.model_id, "benchmark", {Modality.IMAGE: rows[Modality.IMAGE]})


def bare_images(source: Source, artifact: ModelArtifact, threads: int) -> None:
    """Read, decode, resize and run, nothing else."""
    preprocessing = artifact.preprocessing.image
    assert preprocessing is not None
    session, _ = bare_sessions(artifact)

    def run(paths: list[Path]) -> None:
        decoded = [decode_image(path.read_bytes(), at_least=preprocessing.size) for path in paths]
        session.run(["embedding"], {"pixels": prepare_images(decoded, preprocessing)})

    paths = [source.images_root / record.uri for record in source.records]
    on_threads(run, (paths[at : at + IMAGE_CHUNK] for at in range(0, len(paths), IMAGE_CHUNK)), threads)


def bare_captions(source: Source, artifact: ModelArtifact, threads: int) -> None:
    """Tokenise all captions at once, and run those of like length together."""
    _, session = bare_sessions(artifact)
    captions = [caption.text for record in source.records for caption in record.captions]
    feeds = token_feeds(SentenceTokenizer.of(artifact)(captions))
    order = longest_first(feeds)

    def run(rows: Any) -> None:
        session.run(["embedding"], rows_of(feeds, rows))

    on_threads(run, (order[at : at + TEXT_CHUNK] for at in range(0, len(order), TEXT_CHUNK)), threads)


def bare_sessions(artifact: ModelArtifact) -> list[ort.InferenceSession]:
    """Both graphs, as a rebuild loads both; their calls run on the thread of the caller."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    graphs = (artifact.image_graph, artifact.text_graph)
    return [ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"]) for graph in graphs]


def on_threads(run: Callable[[Any], None], chunks: Iterable[Any], threads: int) -> None:
    """Run all chunks; what one raises is raised."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(run, chunks):
            pass


if __name__ == "__main__":
    typer.run(main)
