"""Recipes of training/configs in sizes that take seconds, on a few drawn scenes alone."""

from tests.conftest import PROJECT
from training.config import TrainingConfig, load_config


def scenes_recipe(name: str, scenes: int, *settings: str) -> TrainingConfig:
    """A recipe of training/configs on so many scenes, in small sizes, with every part of it left on."""
    tree = load_config(
        PROJECT / "training" / "configs" / f"{name}.toml",
        [
            "select_on=scenes",
            f"data.scenes.count={scenes}",
            "model.dimension=32",
            "model.cell_components=32",
            "batch.images=16",
            "objective.momentum.queue=16",
            "objective.prototypes.count=16",
            *settings,
        ],
    ).model_dump(mode="json")
    del tree["data"]["flickr8k"]
    return TrainingConfig.model_validate(tree)
