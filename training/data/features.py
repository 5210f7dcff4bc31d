"""Features of frozen backbones, computed once into a cache keyed by backbone, preprocessing and file or token hash."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from model.errors import ConfigError, DataError, InvalidInput
from model.manifest import sha256_of_file
from model.nn.backbones import ImageBackbone, TextBackbone
from model.preprocess import ImagePreprocessing, TextTokenizer, clean_text, decode_image, prepare_image
from training.data.augmentation import PLAIN, View, apply_view, key_of_view
from training.data.extraction import make_extractor
from training.data.shards import Features, ShardStore, concatenate
from training.data.table import FeatureTable

# Small batches: the output of a layer stays in the processor's cache.
IMAGES_PER_BATCH, IMAGES_PER_SHARD = 8, 1024
TEXTS_PER_BATCH, TEXTS_PER_SHARD = 32, 8192
_TEXTS_TOKENISED_AT_ONCE = 1024

T = TypeVar("T")


def image_feature_table(
    backbone: ImageBackbone, paths: Sequence[Path], cache_dir: Path, *, view: View = PLAIN, progress: bool = True
) -> FeatureTable:
    """Local and global features of images in one view; see `image_feature_tables`."""
    (table,) = image_feature_tables(backbone, paths, cache_dir, (view,), progress=progress)
    return table


def image_feature_tables(
    backbone: ImageBackbone, paths: Sequence[Path], cache_dir: Path, views: Sequence[View], *, progress: bool = True
) -> tuple[FeatureTable, ...]:
    """Local and global features of images, a table for each view; only what is missing is computed.

    Raises DataError naming an image that cannot be read.
    """
    preprocessing = backbone.preprocessing
    if preprocessing is None:
        raise ConfigError(f"backbone '{backbone.name}' takes precomputed regions, not images; use SCAN-format data")
    keys = [_hash_of_image(path) for path in paths]
    sources = dict(zip(keys, paths, strict=True))

    def filled(view: View) -> FeatureTable:
        how = {
            "preprocessing": preprocessing.model_dump(mode="json"),
            "pillow": PIL.__version__,
            "view": key_of_view(view),
        }
        store = ShardStore(cache_dir / _key(backbone, how))
        if missing := store.missing(keys):
            extract = make_extractor(backbone, len(missing), cache_dir / "graphs")

            def features_of(batch: Sequence[str]) -> Features:
                return extract({"pixels": _pixels({key: sources[key] for key in batch}, preprocessing, view)})

            _fill(store, missing, features_of, (IMAGES_PER_SHARD, IMAGES_PER_BATCH), _bar("image features", progress))
        return store.table(keys)

    # Equal views, as of data that must not be changed, share a table.
    tables = {view: filled(view) for view in dict.fromkeys(views)}
    return tuple(tables[view] for view in views)


def text_feature_table(
    backbone: TextBackbone, tokenizer: TextTokenizer, texts: Sequence[str], cache_dir: Path, *, progress: bool = True
) -> FeatureTable:
    """Token states and global features of texts; only what is missing is computed, the shortest first.

    The key of a text is the hash of its tokens: all that the backbone sees of it.
    Raises DataError naming a text that is empty or too long.
    """
    tokens = _tokenised(tokenizer, texts)
    keys = [hashlib.sha256(ids.tobytes()).hexdigest() for ids in tokens]
    store = ShardStore(cache_dir / _key(backbone, {}))
    sources = dict(zip(keys, tokens, strict=True))
    if missing := sorted(store.missing(keys), key=lambda key: len(sources[key])):
        extract = make_extractor(backbone, len(missing), cache_dir / "graphs")

        def features_of(batch: Sequence[str]) -> Features:
            return extract(_padded([sources[key] for key in batch]))

        _fill(store, missing, features_of, (TEXTS_PER_SHARD, TEXTS_PER_BATCH), _bar("text features", progress))
    return store.table(keys)


def _fill(
    store: ShardStore,
    keys: Sequence[str],
    features_of: Callable[[Sequence[str]], Features],
    sizes: tuple[int, int],
    bar: Progress,
) -> None:
    """Compute features of the keys, by batches on all threads, and write them shard by shard."""
    per_shard, per_batch = sizes
    task = bar.tasks[0].id
    bar.update(task, total=len(keys))
    pool = ThreadPoolExecutor(torch.get_num_threads())
    try:
        with bar:
            for shard in _chunks(keys, per_shard):
                parts = []
                for part in pool.map(features_of, _chunks(shard, per_batch)):
                    parts.append(part)
                    bar.advance(task, len(part.lengths))
                store.write(shard, concatenate(parts))
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _hash_of_image(path: Path) -> str:
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise DataError(f"image {path} cannot be read: {error.strerror}") from error


def _pixels(paths: Mapping[str, Path], preprocessing: ImagePreprocessing, view: View) -> NDArray[np.float32]:
    """Images by the hash of their files, in one view, preprocessed; one is decoded at a time."""
    try:
        return np.stack(
            [
                prepare_image(apply_view(decode_image(path, at_least=preprocessing.size), view, key), preprocessing)
                for key, path in paths.items()
            ]
        )
    except InvalidInput as error:
        raise DataError(f"{error}; replace it or take it out of the data set", detail=error.detail) from error


def _tokenised(tokenizer: TextTokenizer, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """The ids of each text, without padding."""
    found: list[NDArray[np.int64]] = []
    for chunk in _chunks(texts, _TEXTS_TOKENISED_AT_ONCE):
        try:
            tokens = tokenizer(chunk)
        except InvalidInput as error:
            raise DataError(f"text {_first_bad(chunk)!r:.60} cannot be used: {error}") from error
        lengths = tokens.attention_mask.sum(axis=1)
        found.extend(ids[:length] for ids, length in zip(tokens.input_ids, lengths, strict=True))
    return found


def _first_bad(texts: Sequence[str]) -> str:
    for text in texts:
        try:
            clean_text(text)
        except InvalidInput:
            return text
    return ""


def _padded(tokens: Sequence[NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    lengths = np.array([len(ids) for ids in tokens])
    mask = np.arange(lengths.max()) < lengths[:, None]  # [M, T]
    input_ids = np.zeros(mask.shape, np.int64)
    input_ids[mask] = np.concatenate(tokens)
    return {"input_ids": input_ids, "attention_mask": mask.astype(np.int64)}


def _key(backbone: ImageBackbone | TextBackbone, how: Mapping[str, Any]) -> str:
    """The name of the folder for everything that was computed in this way."""
    described = json.dumps({"name": backbone.name, "fingerprint": backbone.fingerprint, **how}, sort_keys=True)
    return f"{backbone.name}-{hashlib.sha256(described.encode()).hexdigest()[:16]}"


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "")


def _bar(what: str, visible: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=not visible)
    bar.add_task(what)
    return bar
