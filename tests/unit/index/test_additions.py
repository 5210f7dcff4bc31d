"""Items that come one by one as rows of an index, with ids that no other item has."""

import hashlib
import json
from dataclasses import replace

import numpy as np

from index.additions import Addition, rows_of
from index.items import Modality, image_item_id, text_item_id
from index.metadata import SCHEMA
from tests.pending import unit_rows

URI = "uploads/abc.png"
VECTORS = unit_rows(3)


def addition(item_id: str | None = None, *captions: str) -> Addition:
    pairs = list(zip(captions, VECTORS, strict=False))
    return Addition(b"bytes", URI, VECTORS[0], item_id, pairs, {"year": 2024})


def test_an_image_and_its_captions_are_rows_that_belong_together() -> None:
    rows = rows_of([addition("a", "a dog", "a cat")])
    (image,) = rows[Modality.IMAGE].metadata.to_pylist()
    assert rows[Modality.IMAGE].metadata.schema.equals(SCHEMA)
    assert (image["id"], image["image_id"], image["uri"], image["caption"]) == ("a", "a", URI, "a dog")
    assert (json.loads(image["payload"]), image["fingerprint"]) == ({"year": 2024}, hashlib.sha256(b"bytes").digest())
    texts = rows[Modality.TEXT].metadata.to_pylist()
    assert [(text["image_id"], text["caption"]) for text in texts] == [("a", "a dog"), ("a", "a cat")]
    assert np.array_equal(rows[Modality.TEXT].vectors, VECTORS[:2])


def test_an_image_carries_its_description_and_its_captions_none() -> None:
    rows = rows_of([replace(addition("a", "a dog"), description="a dog on a beach"), addition("b")])
    assert rows[Modality.IMAGE].metadata["description"].to_pylist() == ["a dog on a beach", None]
    assert rows[Modality.TEXT].metadata["description"].to_pylist() == [None]


def test_without_captions_there_are_no_rows_of_texts() -> None:
    assert set(rows_of([addition("a")])) == {Modality.IMAGE}


def test_ids_are_a_rebuilds_unless_given_and_captions_of_two_items_differ() -> None:
    assert addition().id == image_item_id(URI)
    ids = [addition(item_id, "a dog", "a dog").caption_ids for item_id in (None, "a", "b")]
    assert len({caption_id for part in ids for caption_id in part}) == 6
    assert text_item_id("a", "a dog", 0) not in ids[1]  # an image of a folder may have the uri "a"
