"""Drawn scenes of which it is known exactly which captions hold for which images. Needs no torch."""

from training.scenes.dataset import make_scenes
from training.scenes.generate import SceneSummary, generator_version, write_scenes
from training.scenes.queries import UniqueCaption, unique_captions

__all__ = ["SceneSummary", "UniqueCaption", "generator_version", "make_scenes", "unique_captions", "write_scenes"]
