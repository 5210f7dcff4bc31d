"""The whole data set as data, before any image is drawn: scenes, captions, and what holds for what."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from training.scenes.captions import CAPTIONS_PER_IMAGE, Caption, captions_of
from training.scenes.claims import FactIndex
from training.scenes.facts import Facts
from training.scenes.families import FAMILY_SIZE, family
from training.scenes.layout import Stage

# One family in ten each: val and test come early, so that small sets have them too.
SPLIT_CYCLE = ("train", "val", "test", *["train"] * 7)


@dataclass(frozen=True)
class Scene:
    """One image to be drawn, with its captions."""

    image_id: int
    family: int
    facts: Facts
    stage: Stage
    captions: tuple[Caption, ...]

    @property
    def filename(self) -> str:
        return f"scene-{self.image_id:06d}.jpg"

    @property
    def split(self) -> str:
        """Whole families share a split, so that no near copy of a test image is trained on."""
        return SPLIT_CYCLE[self.family % len(SPLIT_CYCLE)]


def make_scenes(count: int, seed: int) -> list[Scene]:
    """The first `count` scenes of `seed`: a larger count continues the same list."""
    scenes: list[Scene] = []
    while len(scenes) < count:
        number = len(scenes) // FAMILY_SIZE
        rng = Random(f"family {number} of {seed}")
        for facts, stage in family(rng):
            captions = tuple(captions_of(facts, rng))
            scenes.append(Scene(len(scenes), number, facts, stage, captions))
    return scenes[:count]


def describe_dataset(scenes: Sequence[Scene], seed: int) -> dict[str, Any]:
    """`scenes.json`: Karpathy's format, with facts per image; claims, `holds` and soft negatives per caption.

    `holds` are the ids of all images, of every split, for which the caption is true, its own included.
    """
    index = FactIndex([scene.facts for scene in scenes])
    images = [_describe_image(scene, _siblings(scenes, scene), index) for scene in scenes]
    return {"dataset": "scenes", "seed": seed, "images": images}


def _siblings(scenes: Sequence[Scene], scene: Scene) -> Sequence[Scene]:
    """The scene's family, the scene included."""
    first = scene.family * FAMILY_SIZE
    return scenes[first : first + FAMILY_SIZE]


def _describe_image(scene: Scene, siblings: Sequence[Scene], index: FactIndex) -> dict[str, Any]:
    first = scene.image_id * CAPTIONS_PER_IMAGE
    sentences = [
        _describe_caption(caption, scene.image_id, first + offset, siblings, index)
        for offset, caption in enumerate(scene.captions)
    ]
    return {
        "filename": scene.filename,
        "imgid": scene.image_id,
        "split": scene.split,
        "family": scene.family,
        "sentids": [sentence["sentid"] for sentence in sentences],
        "facts": scene.facts.as_json(),
        "sentences": sentences,
    }


def _describe_caption(
    caption: Caption, image_id: int, caption_id: int, siblings: Sequence[Scene], index: FactIndex
) -> dict[str, Any]:
    return {
        "raw": caption.text,
        "tokens": re.findall(r"[a-z]+", caption.text.lower()),
        "imgid": image_id,
        "sentid": caption_id,
        "claims": caption.claims.as_json(),
        "holds": index.images_of(caption.claims),
        "soft_negatives": list(_soft_negatives(caption, siblings)),
    }


def _soft_negatives(caption: Caption, siblings: Sequence[Scene]) -> Iterator[dict[str, Any]]:
    """The scenes of the family for which the caption is false, and what was swapped.

    A family has the same kinds of object throughout, so what makes the caption false is a "relation", if all would be
    true of things in other positions, or else an "attribute": colour, size, count, place or time.
    """
    for scene in siblings:
        if not caption.claims.hold_for(scene.facts):
            swap = "relation" if caption.claims.without_relations().hold_for(scene.facts) else "attribute"
            yield {"imgid": scene.image_id, "swap": swap}
