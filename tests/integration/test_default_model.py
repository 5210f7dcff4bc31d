"""The trained default: small, complete, and as good on photographs as its model card says."""

import re
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from training.checkpoint import open_checkpoint
from training.evaluate import evaluate
from training.export import export

CHECKPOINT = PROJECT / "checkpoints" / "mini"
CARD = CHECKPOINT / "README.md"


def card_figures() -> dict[str, float]:
    """The lines `| metric | val | test |` of the model card's table, test figures by metric."""
    lines = re.findall(r"^\| `([^`]+)` \|[^|]*\| ([0-9.]+) \|$", CARD.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {metric: float(value) for metric, value in lines}


def test_the_checkpoint_is_small_and_sound() -> None:
    checkpoint = open_checkpoint(CHECKPOINT)
    assert sum(path.stat().st_size for path in CHECKPOINT.iterdir()) <= 60_000_000
    assert checkpoint.config.name == "mini"
    assert checkpoint.config.model.text_backbone.trainable
    assert checkpoint.config.model.image_backbone.trainable
    assert checkpoint.config.objective.prototypes.enabled
    assert checkpoint.config.objective.relation.enabled
    assert checkpoint.config.objective.momentum.enabled
    starts = (checkpoint.config.objective.prototypes.start, checkpoint.config.objective.relation.start)
    assert max(starts) <= 0.5  # every part was active for at least half of the steps


@pytest.mark.photographs
def test_the_exported_default_has_the_figures_of_its_card(flickr8k: Path, tmp_path: Path) -> None:
    export(CHECKPOINT, tmp_path / "mini")
    found = evaluate(
        tmp_path / "mini",
        data=flickr8k / "dataset_flickr8k.json",
        images=flickr8k / "images",
        split="test",
        judgments=flickr8k / "expert_judgments.csv",
        cache=tmp_path / "cache",
    )
    expected = card_figures()
    assert set(expected) == set(found)
    for metric, value in expected.items():
        # Rounded in the card; a query in a thousand may fall to the other side of a tie on another processor.
        assert found[metric] == pytest.approx(value, abs=0.6 if metric == "rsum" else 0.3), metric
