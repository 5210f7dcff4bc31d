"""The way of a search: known request, cache, searcher, bytes.

A request that was parsed before is known by the digest of its bytes: where its answer is in the cache, nothing is
parsed, validated or rendered again.
"""

import hashlib
from functools import lru_cache

from cachetools import LRUCache

from service.api.body import ParsedRequest
from service.api.images import Images
from service.api.queries import to_query
from service.api.rendering import render_results
from service.api.schemas import AnsweredBy, IndexRef, ModelRef, SearchRequest, SearchResult
from service.cache import Cache
from service.cache.keys import key_prefix, shape_digest
from service.cache.single_flight import SingleFlight
from service.core.generation import Generation
from service.core.searcher import Searcher
from service.obs.observers import CacheObserver
from service.obs.timing import Stopwatch

_KNOWN_BODIES = 16_384
# Hashing more than this takes the event loop longer than it should be held; such a body is parsed in a thread.
_LARGEST_KNOWN_BYTES = 16_384
_SHAPE = shape_digest(SearchResult.model_json_schema(mode="serialization"))


class Answers:
    """Answers searches, from the cache where it can."""

    def __init__(self, searcher: Searcher, cache: Cache, images: Images, observer: CacheObserver | None = None) -> None:
        self.cache = cache
        self.images = images
        self._observer = observer
        self._flights = SingleFlight[bytes]()
        self._searcher = searcher
        self._known: LRUCache[bytes, str] = LRUCache(_KNOWN_BODIES)

    async def known(self, body: bytes, generation: Generation, watch: Stopwatch) -> bytes | None:
        """The answer to a JSON body that came before, if the cache still has it for this generation."""
        digest = self._known.get(_digest(body)) if len(body) <= _LARGEST_KNOWN_BYTES else None
        return None if digest is None else await self._cached(digest, generation, watch)

    async def answer(
        self, parsed: ParsedRequest, generation: Generation, watch: Stopwatch, body: bytes | None = None
    ) -> bytes:
        """The JSON of a SearchAnswer; equal requests that come at the same time are computed once.

        `body` is the JSON that the request was parsed from, by which it is known the next time. Raises as
        `Images.admitted` and `Searcher.search` do; errors are not cached.
        """
        admitted = await self.images.admitted(parsed)
        # What a URL leads to may change.
        if body is not None and admitted is parsed and len(body) <= _LARGEST_KNOWN_BYTES:
            self._known[_digest(body)] = parsed.digest
        return await self._answer(admitted, generation, watch)

    async def _answer(self, parsed: ParsedRequest, generation: Generation, watch: Stopwatch) -> bytes:
        if (known := await self._cached(parsed.digest, generation, watch)) is not None:
            return known
        key = self._key(parsed.digest, generation)
        result = await self._flights.run(key, lambda: self._computed(key, parsed.request, generation, watch))
        return _complete(result, generation, b"false", watch)

    async def _computed(self, key: str, request: SearchRequest, generation: Generation, watch: Stopwatch) -> bytes:
        with generation:  # whoever came first may leave while others wait
            results = await self._searcher.search(generation, to_query(request), watch)
            with watch.measure("render"):
                result = await render_results(request, results, self._searcher.workers)
            if results.lasting:
                with watch.measure("cache"):
                    await self.cache.put(key, result)
        return result

    async def _cached(self, digest: str, generation: Generation, watch: Stopwatch) -> bytes | None:
        with watch.measure("cache"):
            result = await self.cache.get(self._key(digest, generation))
        if self._observer is not None:
            self._observer.count_cache("results", "miss" if result is None else "hit")
        return None if result is None else _complete(result, generation, b"true", watch)

    def _key(self, digest: str, generation: Generation) -> str:
        return key_prefix(_SHAPE, generation.scored_by, generation.collection.index_id) + digest


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def _complete(result: bytes, generation: Generation, cached: bytes, watch: Stopwatch) -> bytes:
    """A SearchAnswer: the results are JSON already, and the fields of this request come last."""
    collection, runtime = generation.collection, generation.encoder.runtime
    by = _answered_by(collection.name, collection.version, runtime.name, runtime.model_id)
    return b'%b,%b,"cached":%b,"took_ms":%.3f}' % (result[:-1], by, cached, watch.total_ms)


@lru_cache(maxsize=16)
def _answered_by(index: str, version: str, model: str, model_id: str) -> bytes:
    answered_by = AnsweredBy(index=IndexRef(name=index, version=version), model=ModelRef(name=model, model_id=model_id))
    return answered_by.model_dump_json()[1:-1].encode()
