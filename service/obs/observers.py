"""What the service counts, as narrow interfaces: core and cache report through these and never see Prometheus."""

from typing import Literal, Protocol, get_args

Stage = Literal["queue", "decode", "describe", "encode", "search", "render", "cache", "publish"]
Owner = Literal["text", "image", "explain", "search"]
CacheName = Literal["results", "embeddings"]
CacheResult = Literal["hit", "miss", "error"]
BreakerState = Literal["closed", "open", "half_open"]

STAGES: tuple[Stage, ...] = get_args(Stage)
OWNERS: tuple[Owner, ...] = get_args(Owner)
CACHE_NAMES: tuple[CacheName, ...] = get_args(CacheName)
CACHE_RESULTS: tuple[CacheResult, ...] = get_args(CacheResult)
BREAKER_STATES: tuple[BreakerState, ...] = get_args(BreakerState)


class QueueObserver(Protocol):
    """Told by the owner of a queue what it waits for, batches and turns away."""

    def observe_batch(self, owner: Owner, size: int) -> None:
        """A batch of `size` items was run."""

    def set_queue_length(self, owner: Owner, length: int) -> None:
        """So many items wait now."""

    def count_rejection(self, owner: Owner) -> None:
        """A request was turned away because the queue of the owner was full."""


class CacheObserver(Protocol):
    """Told by the caches what they found, and how Redis fares."""

    def count_cache(self, cache: CacheName, result: CacheResult) -> None:
        """A cache was asked; "error" is a cache that did not answer, or answered rubbish."""

    def set_breaker(self, state: BreakerState) -> None:
        """The breaker of Redis is in this state now."""


class GenerationObserver(Protocol):
    """Told which model and which version of the index this process serves."""

    def serve_generation(self, index_version: str, model_id: str) -> None:
        """This generation is served from now on, in place of the one before."""

    def count_swap(self) -> None:
        """A generation was replaced by another one while serving."""

    def count_refusal(self) -> None:
        """A new generation could not be used; the old one serves on."""
