"""A file of `aahr describe` beside a source: its images with what was said of them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from index.sources.records import GivenDescription, Source
from model.artifact import ModelManifest
from model.descriptions import DescriptionFile, read_descriptions
from model.descriptions.of_model import refuse_other
from model.errors import DataError, UnsupportedQuery


def described(source: Source, path: Path, model: ModelManifest) -> Source:
    """The source whose records have the descriptions of a file, found by their uris; a note says how many.

    Raises UnsupportedQuery for a model that fuses no semantics, ArtifactMismatch for descriptions by another describer
    or prompt than those that it was trained with, and DataError for a file that cannot be read or that describes none
    of the images.
    """
    if model.semantics is None:
        raise UnsupportedQuery(
            f"the model {model.name} fuses no semantics: leave out --descriptions {path}, or give a model that was "
            "trained with descriptions"
        )
    file = read_descriptions(path)
    refuse_other(file.source, model.semantics.source, str(path))
    by_uri = _by_uri(file)
    records = [replace(record, description=by_uri.get(record.uri)) for record in source.records]
    found = sum(record.description is not None for record in records)
    if records and not found:
        raise DataError(
            f"{path} describes none of the {len(records)} images in {source.images_root}, its first is of "
            f"{file.descriptions[0].image}: give the folder that was described, or describe this one"
        )
    note = f"{found} of {len(records)} images are described in {path}"
    return replace(source, records=records, notes=[*source.notes, note])


def _by_uri(file: DescriptionFile) -> Mapping[str, GivenDescription]:
    return {
        each.image: GivenDescription(each.text, bytes.fromhex(each.image_sha256))
        for each in file.descriptions
        if each.caption_id is None  # Those of captions stand for what people wrote, which a gallery does not have.
    }
