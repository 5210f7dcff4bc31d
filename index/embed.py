"""From picture files and captions to embeddings, all cores busy and memory bounded."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model.cores import usable_cores
from model.datasets.scan import RegionArrays
from model.errors import InvalidInput, UnsupportedQuery
from model.preprocess import decode_image, prepare_image
from model.runtime import GPU_CHUNK, IMAGE_CHUNK, Runtime

Floats = NDArray[np.float32]
Outcome = Floats | InvalidInput  # an embedding [D], or why there is none
Advance = Callable[[int], object]  # is told how many more items are done
Track = Callable[[str, int], Advance]  # starts a count of so many items of this name

Item = TypeVar("Item")
Result = TypeVar("Result")

_TEXT_CHUNK = 1024
_REGIONS_CHUNK = 256


def embed_pictures(runtime: Runtime, root: Path, uris: Sequence[str], advance: Advance) -> list[Outcome]:
    """For each picture file its embedding [D] or the reason against it.

    Threads decode chunks of files and hand them to the runtime, whose pool encodes the chunks of others meanwhile. At
    most three chunks a thread are held. Raises UnsupportedQuery for a model that takes no pictures.
    """
    preprocessing = runtime.preprocessing.image
    if preprocessing is None:
        raise UnsupportedQuery(
            f"the model {runtime.name} takes precomputed regions; pictures cannot be indexed with it: give --regions"
        )

    def pixels(uri: str) -> Outcome:
        try:
            image = decode_image(root / uri, at_least=preprocessing.size)
            return prepare_image(image, preprocessing)
        except InvalidInput as error:
            return error

    def embed(chunk: Sequence[str]) -> list[Outcome]:
        prepared = [pixels(uri) for uri in chunk]
        sound = [item for item in prepared if not isinstance(item, InvalidInput)]
        embeddings = iter(isolated(lambda batch: runtime.encode_pixels(np.stack(batch)), sound))
        return [item if isinstance(item, InvalidInput) else next(embeddings) for item in prepared]

    chunk = GPU_CHUNK if runtime.on_gpu else 2 * IMAGE_CHUNK
    outcomes: list[Outcome] = []
    for done in _in_order(embed, list(_chunks(uris, chunk)), threads=usable_cores()):
        outcomes.extend(done)
        advance(len(done))
    return outcomes


def embed_regions(runtime: Runtime, regions: RegionArrays, global_features: Floats, advance: Advance) -> list[Outcome]:
    """For each image its embedding [D] or the reason against it, from its regions and global features [N, Dg].

    Raises UnsupportedQuery for a model that takes pictures.
    """
    if runtime.accepts_pixels:
        raise UnsupportedQuery(f"the model {runtime.name} takes pictures, not precomputed regions; give --images alone")

    def encode(rows: Sequence[int]) -> Floats:
        chosen = slice(rows[0], rows[-1] + 1)
        values = regions.of(chosen)
        return runtime.encode_regions(values, np.ones(values.shape[:2], np.bool_), global_features[chosen])

    outcomes: list[Outcome] = []
    for chunk in _chunks(range(len(regions.rows)), _REGIONS_CHUNK):
        outcomes.extend(isolated(encode, chunk))
        advance(len(chunk))
    return outcomes


def embed_texts(runtime: Runtime, texts: Sequence[str], advance: Advance) -> list[Outcome]:
    """For each text its embedding [D] or the reason against it; the runtime's pool keeps the cores busy."""
    outcomes: list[Outcome] = []
    for chunk in _chunks(texts, _TEXT_CHUNK):
        outcomes.extend(isolated(runtime.encode_texts, chunk))
        advance(len(chunk))
    return outcomes


def isolated(encode: Callable[[Sequence[Item]], Floats], items: Sequence[Item]) -> list[Outcome]:
    """Encode a batch [n] to embeddings [n, D]; where it is refused, one by one, so that one item costs no other."""
    if not items:
        return []
    try:
        return list(encode(items))
    except InvalidInput as error:
        if len(items) == 1:
            return [error]
        return [outcome for item in items for outcome in isolated(encode, [item])]


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _in_order(function: Callable[[Item], Result], items: Iterable[Item], *, threads: int) -> Iterator[Result]:
    """Results in the order of the items; `Executor.map` would run ahead of a slow consumer without bound."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 3 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
