"""The tokenizer of an imported model, as its processor in `transformers` uses it: normaliser, padding and length."""

import json
import string
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers

from model.errors import ArtifactCorrupt, ConfigError
from training.importing.files import TOKENIZER, ModelDirectory

# What transformers does to a text before the tokenizer, and `tokenizer.json` of older releases does not say: SigLIP was
# trained on lower-case texts without punctuation, SigLIP 2 on lower-case ones.
_WITHOUT_PUNCTUATION = ("SiglipTokenizer", "SiglipTokenizerFast")
_CAPITALS, _SMALL = "A Dog And TWO Cats", "a dog and two cats"
_PUNCTUATED, _BARE = "a dog, two cats.", "a dog two cats"


def max_length(source: ModelDirectory, positions: int) -> int:
    """Tokens of a text, special ones included: the network's positions, or fewer where the tokenizer says so.

    SigLIP takes the state of the last position, so that the length decides what comes out.
    """
    said = source.tokenizer_config.get("model_max_length", positions)
    if not isinstance(said, int | float) or said < 3:
        raise ConfigError(f"{source.directory} has a tokenizer for {said!r:.40} tokens; at least 3 are needed")
    return int(min(said, positions))


def read_tokenizer(source: ModelDirectory) -> Tokenizer:
    """The tokenizer with the normaliser and the padding of the model.

    Raises ArtifactCorrupt for a file that `tokenizers` cannot read, and ConfigError where padding is not known.
    """
    file = source.directory / TOKENIZER
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # `tokenizers` raises a bare Exception.
        raise ArtifactCorrupt(f"{file} is not a file of `tokenizers`: {error}; copy it again") from error
    # Its own would change what the probes below see.
    tokenizer.no_truncation()
    if source.model_type == "siglip":
        _normalise(tokenizer, source.tokenizer_config)
        if source.tokenizer_config.get("padding_side", "right") != "right":
            raise ConfigError(
                f"{source.directory} pads its texts on the left; SigLIP was trained with padding on the right: set "
                "padding_side to right in tokenizer_config.json, if that is how this model was trained"
            )
    token = _padding_token(source, tokenizer)
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(token), pad_token=token)
    return tokenizer


def _normalise(tokenizer: Tokenizer, settings: dict[str, Any]) -> None:
    """Lower case and no punctuation, as far as the model wants it and its file does not do it already."""
    first: list[Any] = []
    if settings.get("do_lower_case", True) and _ids(tokenizer, _CAPITALS) != _ids(tokenizer, _SMALL):
        first.append(normalizers.Lowercase())
    strips = settings.get("tokenizer_class") in _WITHOUT_PUNCTUATION
    if strips and _ids(tokenizer, _PUNCTUATED) != _ids(tokenizer, _BARE):
        signs = "".join(f"\\{sign}" for sign in string.punctuation)
        first.append(normalizers.Replace(Regex(f"[{signs}]"), ""))
    if first:
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([*first, *own])


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text).ids
    return ids


def _padding_token(source: ModelDirectory, tokenizer: Tokenizer) -> str:
    """From the tokenizer's own settings, where transformers finds it too, else from its file."""
    for said in (source.tokenizer_config, _special_tokens(source.directory)):
        token = said.get("pad_token")
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and tokenizer.token_to_id(token) is not None:
            return token
    padding = tokenizer.padding or {}
    if isinstance(token := padding.get("pad_token"), str) and tokenizer.token_to_id(token) is not None:
        return token
    if source.model_type == "clip":  # Nothing behind the end of a text is ever seen: any token that there is will do.
        return str(tokenizer.id_to_token(0))
    raise ConfigError(
        f"{source.directory} does not say with which token its texts are padded: put pad_token into "
        "tokenizer_config.json, a token of tokenizer.json"
    )


def _special_tokens(directory: Path) -> dict[str, Any]:
    """Of older releases."""
    try:
        found = json.loads((directory / "special_tokens_map.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
