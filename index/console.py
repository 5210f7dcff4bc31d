"""Search an index from the command line, without a server."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from index.collection import Hit, SearchOptions
from index.collection.open import open_store
from index.filters import Filter, parse_filter
from index.items import Embeddings, Modality
from index.queries import check_model, resolve_target, search_unique
from index.rejects import printable
from model.errors import InvalidInput
from model.preprocess import decode_image
from model.runtime import Runtime


def print_search(
    location: str,
    *,
    text: str | None = None,
    image: Path | None = None,
    model_directory: Path | None = None,
    target: str | None = None,
    limit: int = 10,
    offset: int = 0,
    where: str | None = None,
    unique: float | None = None,
) -> None:
    """Print the best hits for a sentence or an image file as a table, and notes on how the query was understood.

    The model is the one that the index was built with, unless `model_directory` says where it is now. Raises
    InvalidInput for a faulty query or filter and ArtifactError for an index or a model that cannot be used.
    """
    query = _query(text, image)
    chosen = None if target is None else _modality(target)
    options = SearchOptions(limit, offset, filter=_filter(where))
    collection = open_store(location).open()
    with Runtime.load(model_directory or collection.model_directory) as runtime:
        check_model(collection, runtime)
        embedding, truncated = _encoded(runtime, query)
    asked = Modality.TEXT if isinstance(query, str) else Modality.IMAGE
    modality, similar = resolve_target(asked, chosen, collection)
    options = replace(options, normalise=modality is not asked)
    hits = search_unique(collection, embedding, modality, options, unique)
    _print_hits(hits, [note for note in (truncated, similar) if note is not None], offset)


def _query(text: str | None, image: Path | None) -> str | Path:
    if text is not None and image is None:
        return text
    if image is not None and text is None:
        return image
    raise InvalidInput("a search takes either a sentence or --image FILE; give exactly one of them")


def _modality(name: str) -> Modality:
    try:
        return Modality(name)
    except ValueError:
        raise InvalidInput(f"target {name!r:.40} is unknown; it is {' or '.join(Modality)}") from None


def _filter(text: str | None) -> Filter | None:
    if text is None:
        return None
    try:
        return parse_filter(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f'--filter is not JSON ({error}); such as \'{{"must": [{{"key": "year", …}}]}}\'') from error


def _encoded(runtime: Runtime, query: str | Path) -> tuple[Embeddings, str | None]:
    """The embedding [1, D] of a query, and a note where only its beginning was read."""
    if isinstance(query, Path):
        return runtime.encode_images([_decoded(runtime, query)]), None
    tokens = runtime.tokenizer([query])
    note = f"the sentence is long: only its first {runtime.tokenizer.max_length} tokens were read"
    return runtime.encode_tokens(tokens), note if tokens.truncated[0] else None


def _decoded(runtime: Runtime, path: Path) -> Image.Image:
    preprocessing = runtime.preprocessing.image
    return decode_image(path, at_least=preprocessing.size if preprocessing else None)


def _print_hits(hits: Sequence[Hit], notes: Sequence[str], offset: int) -> None:
    console = Console(highlight=False)
    described = any(hit.item.description for hit in hits)
    # Ids are there to be copied: the other columns fold instead.
    table = Table("rank", "score", Column("id", no_wrap=True), "uri", "caption", *(["description"] * described))
    for rank, hit in enumerate(hits, start=offset + 1):
        item = hit.item
        texts = (item.uri, item.caption or "", *([item.description or ""] * described))
        cells = (str(rank), f"{hit.score:.4f}", item.id, *map(printable, texts))
        table.add_row(*(Text(cell, overflow="fold") for cell in cells))
    for note in notes:
        console.print(Text(f"note: {note}"))
    console.print(table if hits else Text("nothing found"))
