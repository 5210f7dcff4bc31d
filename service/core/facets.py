"""What a gallery can be filtered by: the keys of its payloads that have few values, with counts."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from index.collection import Collection
from index.items import Item, Modality

# Beyond these a gallery is looked at in part, a key has too many values to choose from, a menu too many lines.
ITEMS = 20_000
_VALUES = 200
_SHOWN = 30
_KEYS = 8
_LONGEST = 80
_EXAMPLES = 12

Value = bool | int | str


@dataclass(frozen=True, slots=True)
class Facet:
    """A path into the payload with its most frequent values and how many images have each."""

    key: str
    values: tuple[tuple[Value, int], ...]


@dataclass(frozen=True, slots=True)
class Facets:
    """Of the images of one version of an index; `complete` unless only the first ITEMS were looked at."""

    facets: tuple[Facet, ...]
    examples: tuple[str, ...]
    complete: bool


def facets_of(collection: Collection) -> Facets:
    """Look at the images of a gallery. Blocks; a fraction of a second for ITEMS of them."""
    counts: dict[str, Counter[Value]] = {}
    captions: list[str] = []
    for item in islice(collection.items(Modality.IMAGE), ITEMS):
        for key, value in _values(item):
            found = counts.setdefault(key, Counter())
            if len(found) <= _VALUES:  # too many to choose from: no more are kept
                found[value] += 1
        if item.caption and len(item.caption) <= _LONGEST:
            captions.append(item.caption)
    useful = [(key, found) for key, found in counts.items() if _is_useful(found)]
    useful.sort(key=lambda pair: (len(pair[1]), pair[0]))
    facets = tuple(Facet(key, tuple(found.most_common(_SHOWN))) for key, found in useful[:_KEYS])
    return Facets(facets, _spread(captions), collection.count(Modality.IMAGE) <= ITEMS)


def _is_useful(found: Counter[Value]) -> bool:
    """One value chooses nothing, and values that nearly every image has for itself are names, not kinds."""
    numbered = any(isinstance(value, int) for value in found)  # more than can be shown: a number of something
    return 2 <= len(found) <= (_SHOWN if numbered else _VALUES) and found.total() >= 2 * len(found)


def _values(item: Item) -> Iterator[tuple[str, Value]]:
    return _leaves(item.payload, "")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Value]]:
    """Booleans, whole numbers and short texts with their paths, as filters write them; each once an image."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        parts = {part for part in value if isinstance(part, bool | int | str)}
        yield from ((path, part) for part in parts if path and _is_short(part))
    elif path and isinstance(value, bool | int | str) and _is_short(value):
        yield path, value


def _is_short(value: Value) -> bool:
    return not isinstance(value, str) or len(value) <= _LONGEST


def _spread(captions: list[str]) -> tuple[str, ...]:
    """Some captions from all over the gallery."""
    step = max(1, len(captions) // _EXAMPLES)
    return tuple(dict.fromkeys(captions[::step]))[:_EXAMPLES]
