"""From a recipe to its pretrained backbones and the network over them."""

from dataclasses import dataclass

import torch

from model.config import FeatureDimensions
from model.nn.aahr import AAHR
from model.nn.backbones import ImageBackbone, ImageTail, TextBackbone, load_image_backbone, load_text_backbone
from training.config import TrainingConfig
from training.device import device_of

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Backbones:
    """The pretrained encoders of a recipe, in evaluation mode."""

    image: ImageBackbone
    text: TextBackbone
    image_tail: ImageTail | None = None  # the last blocks of the image's, where they are fine-tuned

    @property
    def device(self) -> torch.device:
        """The device of the parameters; the backbone of regions has none."""
        return device_of(self.text)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Hashes of the weights, by modality."""
        return {"image": self.image.fingerprint, "text": self.text.fingerprint}

    @property
    def dimensions(self) -> tuple[FeatureDimensions, FeatureDimensions]:
        """Widths of the features that the encoders take."""
        image, text = (
            FeatureDimensions(local_dimension=each.local_dimension, global_dimension=each.global_dimension)
            for each in (self.image_tail or self.image, self.text)
        )
        return image, text


def load_backbones(config: TrainingConfig, device: torch.device = CPU) -> Backbones:
    """Both backbones of a recipe on a device; raises ConfigError with the remedy where one is missing."""
    image, text = config.model.image_backbone, config.model.text_backbone
    image_backbone, text_backbone = (
        load_image_backbone(image.name, image.path).to(device),
        load_text_backbone(text.name, text.path).to(device),
    )
    if text.trainable and text.frozen_words:
        text_backbone.freeze_words()
    if not image.trainable:
        return Backbones(image_backbone, text_backbone)
    stem, tail = image_backbone.split(image.trainable_blocks)
    return Backbones(stem.eval(), text_backbone, tail)


def build_network(config: TrainingConfig, backbones: Backbones) -> AAHR:
    """A new network for these backbones, on their device; what is fine-tuned of them becomes part of it."""
    image, text = backbones.dimensions
    trainable = backbones.text if config.model.text_backbone.trainable else None
    return AAHR(config.model, image, text, trainable, backbones.image_tail).to(backbones.device)
