"""What each part of the wording of `tags` is worth: retrieval on val by sentence embeddings of descriptions alone.

    python benchmarks/tags_wording.py --data dataset_flickr8k.json --images photos

Val, never test. Prints rSum for the wording as it is and with one threshold changed (docs/descriptions-tags.md).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.descriptions.tags import TAGS_FILE, TAGS_GRAPH
from model.descriptions.tags.classifier import TagClassifier
from model.descriptions.tags.colours import colour_layout
from model.descriptions.tags.describer import to_rgb
from model.descriptions.tags.evidence import gather
from model.descriptions.tags.grammar import sentence
from model.descriptions.tags.vocabulary import Wording, read_tags
from model.nn.backbones import load_text_backbone
from model.preprocess import decode_image, prepare_images
from training.data.features import text_feature_table
from training.data.karpathy import load_karpathy
from training.export.tags import write_tags
from training.metrics import retrieval_metrics

# 1 is more evidence than there can be: that part is never said.
VARIANTS: Sequence[dict[str, Any]] = (
    {},
    {"temperature": 1.0},
    {"temperature": 0.7},
    {"coat": 1},
    {"name": 1},
    {"others": 0},
    {"others": 3},
    {"others": 5, "other": 0.01},
    {"people": 1, "worn": 1},
    {"people": 0.1},
    {"worn": 1},
    {"place": 1},
    {"ground": 1},
    {"sky": 1},
    {"vivid": 1},
    {"worn": 1, "ground": 1, "sky": 1, "vivid": 1},
    {"animal": 0.35},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="captions in Karpathy's format")
    parser.add_argument("--images", type=Path, required=True, help="folder of the images")
    options = parser.parse_args()
    dataset = load_karpathy(options.data, options.images, "val")
    with TemporaryDirectory() as folder:
        write_tags(Path(folder))
        tags = read_tags(Path(folder) / TAGS_FILE)
        how = tags.preprocessing
        images = [prepare_images([decode_image(path, at_least=how.size)], how) for path in dataset.image_paths]
        layouts = [colour_layout(to_rgb(pixels[0], how)) for pixels in images]
        captions = embedded(dataset.captions, Path(folder))
        by_temperature = {}
        for changed in VARIANTS:
            wording = Wording(**changed)
            if (heat := wording.temperature) not in by_temperature:
                classifier = TagClassifier(Path(folder) / TAGS_GRAPH, classes=len(tags.classes), temperature=heat)
                by_temperature[heat] = [gather(classifier.probabilities(each)[0], tags.classes) for each in images]
            evidence = by_temperature[heat]
            texts = [sentence(*seen, wording) for seen in zip(evidence, layouts, strict=True)]
            scores = embedded(texts, Path(folder)) @ captions.T
            print(f"{retrieval_metrics(scores, dataset.image_of_caption)['rsum']:6.1f}  {changed or 'as it is'}")


def embedded(texts: Sequence[str], cache: Path) -> NDArray[np.float32]:
    """Normalised sentence embeddings of all-MiniLM-L6-v2, [M, 384]."""
    backbone = load_text_backbone("minilm")
    features = text_feature_table(backbone, backbone.read_tokenizer(), texts, cache, progress=False).global_features
    unit: NDArray[np.float32] = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main()
