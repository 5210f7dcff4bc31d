"""From pictures and their captions to the items of a gallery: pure functions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from index.captions.records import Caption, CaptionedImage
from index.items import Item, Modality, image_item_id, text_item_id
from index.rejects import Reject
from model.errors import InvalidInput
from model.preprocess import clean_text


def text_items(uris: Iterable[str], captioned: Mapping[str, CaptionedImage]) -> tuple[list[Item], list[Reject]]:
    """An item for each caption of the pictures `uris`, in their order, and rejects for empty and too long ones."""
    items: list[Item] = []
    rejects: list[Reject] = []
    for uri in uris:
        times: Counter[str] = Counter()
        for caption in captioned[uri].captions if uri in captioned else ():
            try:
                items.append(_text_item(uri, caption, times))
            except InvalidInput as error:
                rejects.append(Reject(uri, error.code, f"{caption.place}: {error}"))
    return items, rejects


def image_items(uris: Iterable[str], captioned: Mapping[str, CaptionedImage], texts: Sequence[Item]) -> list[Item]:
    """An item for each picture, with the payload of the caption file and the first of its captions among `texts`."""
    first = {item.uri: item.caption for item in reversed(texts)}
    return [
        Item(
            image_item_id(uri),
            Modality.IMAGE,
            uri,
            first.get(uri),
            captioned[uri].payload if uri in captioned else {},
        )
        for uri in uris
    ]


def _text_item(uri: str, caption: Caption, times: Counter[str]) -> Item:
    text = clean_text(caption.text)
    ordinal = times[text]
    times[text] += 1
    return Item(text_item_id(uri, text, ordinal), Modality.TEXT, uri, text, caption.payload)
