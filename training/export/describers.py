"""The describer that goes into a model's directory: the one that its training descriptions were made with."""

import shutil
from pathlib import Path

from model.descriptions import Source
from model.descriptions.of_model import files_of, load_describer, refuse_other
from model.errors import ConfigError
from training.export.tags import write_tags


def write_describer(directory: Path, source: Source | None, given: Path | None) -> str | None:
    """Put the files of a describer that needs no server beside the graphs.

    `given` is the folder of it; tags are made from the pretrained weights where there is none. Returns what a user
    should know, such as that the model goes without. Raises ArtifactMismatch for another describer than the one that
    the model was trained with, and ConfigError for a folder that no describer is wanted from.
    """
    files = () if source is None else files_of(source.describer)
    if source is None or not files:
        if given is not None:
            wanted = "fuses no semantics" if source is None else f"was described by {source.describer}, a server"
            raise ConfigError(f"the model {wanted}: leave --describer out")
        return None
    if given is not None:
        refuse_other(load_describer(source.describer, given).source, source, str(given))
        for name in files:
            shutil.copyfile(given / name, directory / name)
    elif source.describer == "tags":
        write_tags(directory)
        refuse_other(load_describer("tags", directory).source, source, "this version of the program")
    else:
        return (
            f"without its describer, {source.describer}: give --describer, its folder, or images are taken for "
            "undescribed unless they come with descriptions"
        )
    return None
