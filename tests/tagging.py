"""A tags describer small enough to write in a test: it tells images apart by their mean colour."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from model.descriptions.tags import TAGS_FILE, TAGS_GRAPH
from model.descriptions.tags.vocabulary import GRAMMAR, TagClass, TagsFile, Wording
from model.preprocess import ImagePreprocessing

SIZE = 12
SHARPNESS = 40.0  # logits a unit of a channel: the strongest channel wins with certainty
PREPROCESSING = ImagePreprocessing(
    size=SIZE, mean=(0.498,) * 3, std=(0.502,) * 3, resize="squash", interpolation="bicubic"
)


def tag_class(
    name: str, kind: str, group: str = "thing", people: str = "", place: str = "", colour: str = ""
) -> TagClass:
    return TagClass.model_validate(
        {"name": name, "kind": kind, "group": group, "people": people, "place": place, "colour": colour}
    )


CLASSES = (
    tag_class("a fire truck", "a fire truck", people="firefighters", place="on the street"),
    tag_class("a tree frog", "a frog", "animal", colour="green"),
    tag_class("a scuba diver", "a scuba diver", people="a scuba diver", place="under water"),
)


def write_tagging_graph(file: Path, outputs: int = 3, name: str = "logits") -> None:
    """pixels [N, 3, 12, 12] to logits [N, outputs]: the mean of each channel, sharpened; the further ones are 0."""
    eye = [SHARPNESS * (row == column) for row in range(3) for column in range(outputs)]
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixels"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "eye"], [name]),
    ]
    graph = helper.make_graph(
        nodes,
        "tagging",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", outputs])],
        [helper.make_tensor("eye", TensorProto.FLOAT, [3, outputs], eye)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), file)


def tags_file(classes: Sequence[TagClass] = CLASSES, weights: str = "0" * 64) -> TagsFile:
    return TagsFile(
        grammar=GRAMMAR, weights=weights, preprocessing=PREPROCESSING, wording=Wording(), classes=tuple(classes)
    )


def write_tagging(directory: Path) -> Path:
    """tags.onnx and tags.json for CLASSES; returns the directory."""
    write_tagging_graph(directory / TAGS_GRAPH)
    (directory / TAGS_FILE).write_text(tags_file().model_dump_json())
    return directory
