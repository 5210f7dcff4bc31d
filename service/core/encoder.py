"""The model of a generation: one owner of texts, one of images, and whether both still work."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from index.items import Modality
from model.errors import InvalidInput
from model.explanations import WordMaps, word_maps
from model.preprocess import decode_image, prepare_image
from model.runtime import IMAGE_CHUNK, Runtime
from model.views import averaged, views_of
from service.core.batching import BatchLimits, BatchOwner
from service.core.budget import Workers
from service.core.describing import Described, Describing, Undescribed
from service.core.errors import NotReadyError, OverloadedError
from service.core.query import Embedded
from service.obs.observers import QueueObserver
from service.obs.timing import Stopwatch

Item = TypeVar("Item")
Result = TypeVar("Result")
Pixels = NDArray[np.float32]  # [3, H, W]

_NOTHING = Described(None)

log = logging.getLogger(__name__)

_FAILED = "an encoder failed; see the service log. GET /health/ready tries it again"


class Encoder:
    """Texts and image files to embeddings, those of many requests in one call of the graph.

    An item is embedded alike alone and among others: texts are multiplied row by row, and padding is masked
    (tests/integration/test_batching.py bounds the difference).
    """

    def __init__(
        self,
        runtime: Runtime,
        workers: Workers,
        limits: BatchLimits,
        observer: QueueObserver | None = None,
        describing: Describing | None = None,
    ) -> None:
        """`describing`: of images, for a model that fuses descriptions."""
        self.runtime = runtime
        self._describing = describing or (Undescribed() if runtime.fuses_semantics else None)
        self._workers = workers
        self._failure: str | None = None
        lanes = 1 if runtime.on_gpu else workers.threads
        texts = replace(limits, lanes=lanes)
        # Activations of more images than this leave the processor's cache: larger batches are no faster.
        images = replace(texts, max_batch=limits.max_batch if runtime.on_gpu else 2 * IMAGE_CHUNK)
        self._texts = BatchOwner(
            "text", self._embed_texts, workers, texts, stage="encode", size_of=len, observer=observer
        )
        self._images = BatchOwner("image", self._embed_images, workers, images, stage="encode", observer=observer)
        # One at a time: what is explained is one answer that somebody looks at.
        single = replace(texts, max_batch=1)
        self._explained = BatchOwner("explain", self._explain, workers, single, stage="encode", observer=observer)

    @property
    def failure(self) -> str | None:
        """Why the last call of a graph or the last warm-up failed; None where it did not."""
        return self._failure

    def warm_up(self) -> None:
        """Run both graphs; `failure` then says whether they work. Blocks."""
        try:
            self.runtime.warm_up()
        except Exception:
            self._failure = _FAILED
            log.exception("an encoder failed")
        else:
            self._failure = None

    async def text(self, text: str, watch: Stopwatch) -> Embedded:
        """Raises EmptyText, TextTooLong, OverloadedError, and NotReadyError where the graph fails."""
        return await self._noting_failures(self._texts, text, watch)

    async def image(self, content: bytes, watch: Stopwatch, views: int = 1) -> Embedded:
        """Raises UnreadableImage, ImageTooLarge, UnsupportedQuery, OverloadedError and NotReadyError.

        An image that cannot be described is embedded nevertheless, and the notes say so. Of an image for a gallery that
        has averages of several views, as many are embedded.
        """
        image, pixels = await self._workers.run(lambda: self._prepared(content, watch), watch)
        described = _NOTHING if self._describing is None else await self._describing.describe(image, watch)
        del image  # it is larger than its pixels, which may have to wait
        found = [
            await self._noting_failures(self._images, (view, described), watch) for view in views_of(pixels, views)
        ]
        return found[0]._replace(embedding=averaged([each.embedding for each in found]))

    async def explain(self, text: str, content: bytes, watch: Stopwatch) -> WordMaps:
        """How much each word agrees with each cell of an image file.

        Raises as `text` and `image` do, and UnsupportedQuery for a model that cannot explain.
        """
        return await self._noting_failures(self._explained, (text, content), watch)

    def close(self) -> None:
        """Stop the runtime and the describer; nothing may be waiting."""
        self.runtime.close()
        if self._describing is not None:
            self._describing.close()

    def _prepared(self, content: bytes, watch: Stopwatch) -> tuple[PIL.Image.Image, Pixels]:
        """Decoded as the gallery was, so that an image of the gallery finds itself with a score of one."""
        with watch.measure("decode"):
            preprocessing = self.runtime.image_preprocessing
            wanted = 0 if self._describing is None else self._describing.at_least
            image = decode_image(content, at_least=max(preprocessing.size, wanted))
            return image, prepare_image(image, preprocessing)

    def _embed_texts(self, texts: Sequence[str]) -> list[Embedded]:
        tokens = self.runtime.tokenizer(texts)
        embeddings = self.runtime.encode_tokens(tokens)
        length = self.runtime.tokenizer.max_length
        cut = (f"the text was cut off after {length} tokens",)
        return [
            Embedded(embedding, Modality.TEXT, bool(truncated), cut if truncated else ())
            for embedding, truncated in zip(embeddings, tokens.truncated, strict=True)
        ]

    def _embed_images(self, images: Sequence[tuple[Pixels, Described]]) -> list[Embedded]:
        semantics = None
        if self.runtime.fuses_semantics:
            semantics = self.runtime.encode_descriptions([described.text for _, described in images])
        embeddings = self.runtime.encode_pixels(np.stack([pixels for pixels, _ in images]), semantics)
        return [
            Embedded(row, Modality.IMAGE, notes=described.notes, description=described.text, lasting=described.answered)
            for row, (_, described) in zip(embeddings, images, strict=True)
        ]

    def _explain(self, items: Sequence[tuple[str, bytes]]) -> list[WordMaps]:
        size = self.runtime.image_preprocessing.size
        return [word_maps(self.runtime, text, decode_image(content, at_least=size)) for text, content in items]

    async def _noting_failures(self, owner: BatchOwner[Item, Result], item: Item, watch: Stopwatch) -> Result:
        """Whatever is not a fault of the input is a fault of the encoders, and must show in the readiness."""
        try:
            return await owner.submit(item, watch)
        except (InvalidInput, OverloadedError):
            raise
        except Exception as error:
            self._failure = _FAILED
            log.exception("an encoder failed")
            raise NotReadyError(self._failure) from error
