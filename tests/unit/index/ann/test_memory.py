import pytest

from index.ann.memory import memory_share
from model.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "share"),
    [(None, None), ("30%", 0.3), ("30 %", 0.3), ("768MB", 0.5), ("1.5 gb", 0.9765625), ("1464.84375MiB", 1.0)],
)
def test_amounts_are_shares_of_the_vectors(text: str | None, share: float | None) -> None:
    assert memory_share(text, 1_000_000, 384) == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize("text", ["", "500", "-5MB", "0%", "0MB", "5 XB", "MB", "nan%", "1e9MB"])
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="write it as 500MB, 2GiB or 30%"):
        memory_share(text, 1000, 8)
