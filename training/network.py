"""From a recipe to its pretrained backbones and the network over them."""

from dataclasses import dataclass

import torch

from model.config import FeatureDimensions
from model.nn.aahr import AAHR
from model.nn.backbones import (
    ImageBackbone,
    ImageTail,
    TextBackbone,
    load_image_backbone,
    load_sentence_encoder,
    load_text_backbone,
    load_text_global_backbone,
)
from model.preprocess import Preprocessing
from model.tokens import SentenceTokenizer
from training.config import TrainingConfig
from training.device import device_of

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Backbones:
    """The pretrained encoders of a recipe, in evaluation mode."""

    image: ImageBackbone
    text: TextBackbone
    image_tail: ImageTail | None = None  # the last blocks of the image's, where they are fine-tuned
    text_global: TextBackbone | None = None  # of the text's global feature, where the words' encoder gives none
    sentence: TextBackbone | None = None  # of descriptions and of captions as a whole, for semantics

    @property
    def device(self) -> torch.device:
        """The device of the parameters; the backbone of regions has none."""
        return device_of(self.text)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Hashes of the weights, by modality; "text_global" and "sentence" only where there is one."""
        optional = {"text_global": self.text_global, "sentence": self.sentence}
        found = {"image": self.image, "text": self.text, **{name: each for name, each in optional.items() if each}}
        return {name: backbone.fingerprint for name, backbone in found.items()}

    @property
    def dimensions(self) -> tuple[FeatureDimensions, FeatureDimensions]:
        """Widths of the features that the encoders take."""
        image, text = self.image_tail or self.image, self.text
        sentence = self.text_global or text
        return (
            FeatureDimensions(local_dimension=image.local_dimension, global_dimension=image.global_dimension),
            FeatureDimensions(local_dimension=text.local_dimension, global_dimension=sentence.global_dimension),
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """What happens to pixels and to text before them."""
        sentence = self.text_global
        return Preprocessing(
            image=self.image.preprocessing,
            text=self.text.preprocessing,
            text_global=None if sentence is None else sentence.preprocessing,
        )

    def read_tokenizer(self) -> SentenceTokenizer:
        """Of all text encoders together."""
        whole, sentence = (
            None if each is None else each.read_tokenizer() for each in (self.text_global, self.sentence)
        )
        return SentenceTokenizer(self.text.read_tokenizer(), whole, sentence)


def load_backbones(config: TrainingConfig, device: torch.device = CPU) -> Backbones:
    """The backbones of a recipe on a device; raises ConfigError with the remedy where one is missing."""
    image, text, whole = (
        config.model.image_backbone,
        config.model.text_backbone,
        config.model.text_global_backbone,
    )
    image_backbone, text_backbone = (
        load_image_backbone(image.name, image.path).to(device),
        load_text_backbone(text.name, text.path).to(device),
    )
    if text.trainable and text.frozen_words:
        text_backbone.freeze_words()
    text_global = None if whole is None else load_text_global_backbone(whole.name, whole.path).to(device)
    semantics = config.model.semantics
    sentence = None
    if semantics is not None:
        sentence = load_sentence_encoder(semantics.sentence_encoder.name, semantics.sentence_encoder.path).to(device)
    if not image.trainable:
        return Backbones(image_backbone, text_backbone, text_global=text_global, sentence=sentence)
    stem, tail = image_backbone.split(image.trainable_blocks)
    return Backbones(stem.eval(), text_backbone, tail, text_global, sentence)


def build_network(config: TrainingConfig, backbones: Backbones) -> AAHR:
    """A new network for these backbones, on their device; what is fine-tuned of them becomes part of it."""
    image, text = backbones.dimensions
    trainable = backbones.text if config.model.text_backbone.trainable else None
    sentence = None if backbones.sentence is None else backbones.sentence.global_dimension
    return AAHR(config.model, image, text, trainable, backbones.image_tail, sentence).to(backbones.device)
