"""What a run has used of a server that counts tokens, and what that costs."""

from dataclasses import dataclass
from threading import Lock
from typing import NamedTuple

_MILLION = 1_000_000


class Usage(NamedTuple):
    """Tokens of one answer, or of many."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Prices:
    """What a million tokens cost, in any currency."""

    prompt: float = 0.0
    completion: float = 0.0


class Meter:
    """Adds up the usage of all answers; several threads may add at once."""

    def __init__(self, prices: Prices | None = None) -> None:
        self._prices = prices
        self._lock = Lock()
        self._total = Usage()
        self._answers = 0
        self._silent = 0

    def add(self, usage: Usage | None) -> None:
        """Count one answer; None: the server did not say what it took."""
        with self._lock:
            self._answers += 1
            if usage is None:
                self._silent += 1
            else:
                self._total = Usage(*(sum(pair) for pair in zip(self._total, usage, strict=True)))

    @property
    def total(self) -> Usage:
        """All tokens that were reported."""
        return self._total

    @property
    def cost(self) -> float | None:
        """Of all tokens that were reported; None without prices."""
        if self._prices is None:
            return None
        prompt, completion = self._total
        return (prompt * self._prices.prompt + completion * self._prices.completion) / _MILLION

    def __str__(self) -> str:
        """Tokens in and out, and the cost; empty where nothing was asked."""
        if not self._answers:
            return ""
        parts = [f"{self._total.prompt_tokens:,} + {self._total.completion_tokens:,} tokens"]
        if self._silent:
            parts[0] += f" ({self._silent} of {self._answers} answers did not say)"
        if self.cost is not None:
            parts.append(f"cost {self.cost:.4f}")
        return ", ".join(parts)
