"""Backbones small enough to know what they give, that count what they are asked."""

from pathlib import Path

import torch
from torch import Tensor, nn

from model.nn.backbones import ImageBackbone, TextBackbone
from model.nn.features import LocalFeatures, masked_mean
from model.preprocess import ImagePreprocessing, TextPreprocessing
from tests.tiny_transformers import WORDS, write_tokenizer


class ColourGrid(ImageBackbone):
    """Mean colours of 2 x 2 cells of images of 8 x 8, times a gain."""

    def __init__(self, fingerprint: str = "first", gain: float = 1.0) -> None:
        super().__init__("colour-grid", fingerprint, local_dimension=3, global_dimension=3)
        self.preprocessing = ImagePreprocessing(
            size=8, mean=(0.5,) * 3, std=(0.5,) * 3, resize="squash", interpolation="bilinear"
        )
        self.gain = nn.Parameter(torch.tensor(gain))
        self.images = 0

    def forward(self, pixels: Tensor) -> LocalFeatures:
        self.images += len(pixels)
        cells = self.gain * nn.functional.avg_pool2d(pixels, 4).flatten(2).transpose(1, 2)  # [B, 4, 3]
        return LocalFeatures(cells, torch.ones(cells.shape[:2], dtype=torch.bool), cells.mean(1))


class WordVectors(TextBackbone):
    """A vector per word and place, and the mean of the text; remembers the lengths it padded to."""

    def __init__(self, directory: Path) -> None:
        super().__init__("word-vectors", "first", local_dimension=6, global_dimension=6)
        self.tokenizer_file = directory / "tokenizer.json"
        write_tokenizer(self.tokenizer_file)
        self.preprocessing = TextPreprocessing(max_length=8)
        generator = torch.Generator().manual_seed(0)
        self.vectors = nn.Parameter(torch.randn(len(WORDS), 6, generator=generator))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> LocalFeatures:
        self.shapes.append(tuple(input_ids.shape))
        states = self.vectors[input_ids] + torch.arange(input_ids.shape[1])[:, None]  # [M, T, 6]
        mask = attention_mask.bool()
        return LocalFeatures(states, mask, masked_mean(states, mask))
