"""Why an image was found: its score with a text, and how much each word agrees with each part of it. No HTTP here."""

from typing import NamedTuple

from index.items import Modality
from model.errors import ImageChanged, ImageTooLarge, ItemNotFound, UnreadableImage
from model.explanations import WordMaps
from service.core.budget import Workers
from service.core.errors import InvalidField
from service.core.generation import Generation
from service.core.image_files import read_image_file
from service.core.query import Embedding
from service.obs.timing import Stopwatch

# An image of the gallery is embedded to itself, but for the noise of another batch or processor.
_SAME = 0.99


class Explanation(NamedTuple):
    """`score` is the cosine by which a search ranks the image for the text.

    `probability` is that of their being a match, None for a model that is not calibrated.
    """

    score: float
    probability: float | None
    maps: WordMaps


async def explain(generation: Generation, text: str, item_id: str, workers: Workers, watch: Stopwatch) -> Explanation:
    """Compare a cleaned text with an image of the gallery, word by word and cell by cell.

    Raises ItemNotFound for an unknown id and for a file that can no longer be read, InvalidField for the id of a
    caption, ImageChanged where the file holds another image than the one that was indexed, UnsupportedQuery for a model
    that cannot explain, OverloadedError where too many wait, and NotReadyError where an encoder fails.
    """
    runtime = generation.encoder.runtime
    runtime.refuse_first_format()
    content, embedding = await workers.run(lambda: _read(generation, item_id), watch)
    try:
        maps = await generation.encoder.explain(text, content, watch)
    except (UnreadableImage, ImageTooLarge) as error:  # of the gallery's file: nothing that was sent
        raise ItemNotFound(
            f"the image of {item_id} can no longer be read; rebuild the index", detail=error.with_detail
        ) from error
    # With descriptions fused, the embedding is more than the pixels.
    if not runtime.fuses_semantics and float(maps.image_embedding @ embedding) < _SAME:
        raise ImageChanged(f"the image file of {item_id} has changed since it was indexed; rebuild the index")
    score = float(maps.text_embedding @ embedding)
    calibration = generation.calibration
    if calibration is None:
        return Explanation(score, None, maps)
    gallery = generation.collection.count(Modality.IMAGE)
    return Explanation(score, round(float(calibration.text_to_image.probabilities(score, gallery)), 6), maps)


def _read(generation: Generation, item_id: str) -> tuple[bytes, Embedding]:
    item = generation.collection.item(item_id)
    if item.modality is not Modality.IMAGE:
        raise InvalidField(f"{item_id} is a caption; give the id of an image", "id")
    _ = generation.encoder.runtime.image_preprocessing  # refuses a model of regions before a file is looked for
    return read_image_file(generation.collection, item_id).content, generation.collection.embedding(item_id)
