"""Which cache the settings ask for."""

from pathlib import Path

from service.cache import make_cache
from service.settings import Settings


def test_make_cache_chooses_by_redis_url() -> None:
    memory = Settings(index_dir=Path("index"))
    redis = Settings(index_dir=Path("index"), redis_url="redis://127.0.0.1:1/0")
    assert (make_cache(memory).name, make_cache(redis).name) == ("memory", "redis")
