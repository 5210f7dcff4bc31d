"""BERT, CLIP and SigLIP of a few kilobytes with random weights, in directories as `transformers` keeps them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)
from transformers.utils import logging

_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
_WORDS = ("a", "dog", "cat", "runs", "sleeps", "on", "the", "red", "green", "grass")
WORDS = (*_SPECIAL.values(), *_WORDS, "[MASK]")
# Other numbers for the same words: tokens that go to the wrong encoder change what comes out.
CLIP_WORDS = (*_SPECIAL.values(), "photo", *reversed(_WORDS))
START, END = WORDS.index("[CLS]"), WORDS.index("[SEP]")
WIDTH, PROJECTION, IMAGE_SIZE, MAX_LENGTH, CLIP_MAX_LENGTH = 32, 24, 32, 20, 18
SIGLIP_LENGTH = 12

_TOWER: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
}


def write_bert(directory: Path, *, seed: int = 0) -> Path:
    """A BERT of 2 layers and 15 words; another seed gives other weights."""
    config = BertConfig(vocab_size=len(WORDS), max_position_embeddings=MAX_LENGTH, **_TOWER)
    _write(BertModel, config, directory, seed)
    return _write_tokenizer(directory, WORDS, mask_token="[MASK]")


def write_clip(directory: Path, *, seed: int = 0, projection: int = PROJECTION) -> Path:
    """A CLIP with 4 x 4 patches of 8 pixels, 15 words and embeddings of `projection`."""
    text = {
        "vocab_size": len(CLIP_WORDS),
        "max_position_embeddings": CLIP_MAX_LENGTH,
        "bos_token_id": START,
        "eos_token_id": END,
    }
    vision = {"image_size": IMAGE_SIZE, "patch_size": 8}
    config = CLIPConfig(
        text_config={**_TOWER, **text, "projection_dim": projection},
        vision_config={**_TOWER, **vision, "projection_dim": projection},
        projection_dim=projection,
    )
    _write(CLIPModel, config, directory, seed)
    preprocessor = {
        "size": {"shortest_edge": IMAGE_SIZE},
        "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.4, 0.5, 0.6],
        "resample": 3,
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")
    return _write_tokenizer(directory, CLIP_WORDS)


def write_siglip(directory: Path, *, seed: int = 0) -> Path:
    """A SigLIP with 4 x 4 patches of 8 pixels, whose texts are padded to 12 tokens with their last one, as SigLIP's."""
    text = {"vocab_size": len(CLIP_WORDS), "max_position_embeddings": SIGLIP_LENGTH, "projection_size": WIDTH}
    vision = {"image_size": IMAGE_SIZE, "patch_size": 8}
    _write(
        SiglipModel, SiglipConfig(text_config={**_TOWER, **text}, vision_config={**_TOWER, **vision}), directory, seed
    )
    preprocessor = {
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")
    return _write_tokenizer(directory, CLIP_WORDS, model_max_length=SIGLIP_LENGTH, pad_token="[SEP]")


def write_tokenizer(file: Path) -> None:
    """The tokenizer of BERT."""
    _tokenizer(WORDS).save(str(file))


def _tokenizer(words: Sequence[str]) -> Tokenizer:
    """Words between [CLS] and [SEP], split at white space."""
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", START), ("[SEP]", END)]
    )
    return tokenizer


def _write(model_class: Any, config: Any, directory: Path, seed: int) -> None:
    log: Any = logging
    verbosity = log.get_verbosity()
    log.set_verbosity_error()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model_class(config).save_pretrained(directory)
    log.set_verbosity(verbosity)


def _write_tokenizer(directory: Path, words: Sequence[str], **special: Any) -> Path:
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=_tokenizer(words), **{**_SPECIAL, **special})
    tokenizer.save_pretrained(directory)
    return directory
