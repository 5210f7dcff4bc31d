"""The classes in everyday words, and `tags.json`, which holds them beside the graph that tells them apart."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from model.errors import ArtifactMismatch
from model.manifest import parse_json_file
from model.preprocess import ImagePreprocessing

GRAMMAR = 1  # of grammar.py, evidence.py and colours.py: raise it whenever the words for equal tags change

TAGS_FILE = "tags.json"
TAGS_GRAPH = "tags.onnx"

_TABLE = "classes.tsv"
_EXPECTED = "a tags describer, as `aahr export` writes it"

Text = Annotated[str, StringConstraints(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class TagClass(BaseModel):
    """One class of the graph, in the order of its logits.

    Attributes:
        name: what it is exactly, with its article: "a golden retriever".
        kind: what people call it: "a dog".
        group: animals have a coat; scenery is where something is, not what is there.
        people: who is likely to be seen with it, doing what; "" where nobody is.
        place: where it is likely to be, with a preposition; "" where that could be anywhere.
        colour: of most of its kind; "" where they differ.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Text
    kind: Text
    group: Literal["animal", "thing", "scenery"]
    people: str
    place: str
    colour: str


class Wording(BaseModel):
    """From which evidence on something is said, chosen on Flickr8k's val split (docs/descriptions-tags.md).

    Attributes:
        temperature: what logits are divided by.
        animal: of all animals together, for a sentence about one.
        rider: of people, for each share of animals, from which on it is about them instead.
        coat: of a colour within the kind.
        name: of the exact name of an animal.
        other: of any further kind; `others`: how many of them are named.
        place: of a place, the colour of the ground included.
        ground: of a colour in the lower third for being the ground; `ground_weight`: what a share of 1 adds to a place.
        people: of people who do something.
        worn: by which a colour in the middle exceeds its share around it.
        sky: of blue in the upper third.
        vivid: of a vivid colour in the whole image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=0.8, gt=0)
    animal: Share = 0.5
    rider: Share = 0.9
    coat: Share = 0.2
    name: Share = 0.05
    other: Share = 0.02
    others: int = Field(default=4, ge=0)
    place: Share = 0.15
    ground: Share = 0.5
    ground_weight: float = Field(default=0.7, ge=0)
    people: Share = 0.2
    worn: Share = 0.1
    sky: Share = 0.3
    vivid: Share = 0.1


class TagsFile(BaseModel):
    """The content of tags.json; `weights` is the fingerprint of what the graph was exported from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["aahr-tags/1"] = "aahr-tags/1"
    grammar: int
    weights: str = Field(pattern=r"^[0-9a-f]{64}$")
    preprocessing: ImagePreprocessing
    wording: Wording
    classes: tuple[TagClass, ...] = Field(min_length=1)


def imagenet_classes() -> tuple[TagClass, ...]:
    """The 1,000 classes of ImageNet (ILSVRC 2012), in the order that pretrained heads have: that of their WordNet ids.

    docs/descriptions-tags.md says where the names come from and how the order was checked.
    """
    table = files(__package__).joinpath(_TABLE).read_text(encoding="utf-8").splitlines()
    columns = table[0].split("\t")
    return tuple(TagClass(**dict(zip(columns, line.split("\t"), strict=True))) for line in table[1:])


def read_tags(path: Path) -> TagsFile:
    """tags.json; raises ArtifactMissing, ArtifactCorrupt naming a wrong field, ArtifactMismatch for another grammar."""
    tags = parse_json_file(path, TagsFile, expected=_EXPECTED)
    if tags.grammar != GRAMMAR:
        raise ArtifactMismatch(
            f"{path.name} was written for grammar {tags.grammar}, this version has grammar {GRAMMAR}; export the model "
            "again",
            detail=str(path),
        )
    return tags
