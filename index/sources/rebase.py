"""A source whose images lie below the images root of an index, named as that index names them."""

import os
from dataclasses import replace
from pathlib import Path

from index.items import image_item_id
from index.rejects import Reject
from index.sources.records import Source, SourceRecord
from model.errors import DataError


def rebased(source: Source, root: Path) -> Source:
    """The source with its uris below `root`; ids that were made from uris are made anew.

    Raises DataError where the images do not lie below `root`.
    """
    here, there = Path(os.path.realpath(source.images_root)), Path(os.path.realpath(root))
    if here == there:
        return source
    if not here.is_relative_to(there):
        raise DataError(
            f"the images in {here} are not below {there}, where those of the index are; copy them there, or rebuild "
            "the index from a folder that holds both"
        )
    prefix = here.relative_to(there).as_posix()
    return replace(
        source,
        images_root=there,
        records=[_below(prefix, record) for record in source.records],
        rejects=[Reject(f"{prefix}/{reject.uri}", reject.code, reject.reason) for reject in source.rejects],
    )


def _below(prefix: str, record: SourceRecord) -> SourceRecord:
    uri = f"{prefix}/{record.uri}"
    given = record.id != image_item_id(record.uri)
    return replace(record, uri=uri, id=record.id if given else image_item_id(uri))
