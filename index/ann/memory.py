"""How much memory an index may take, as users write it."""

import re

from model.errors import ConfigError

_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[KMGT]I?B)", re.IGNORECASE)


def memory_share(text: str | None, rows: int, dimension: int) -> float | None:
    """An amount such as 500MB, 2GiB or 30% as a share of what `rows` float32 vectors take; None for none.

    Raises ConfigError for anything else, and for an amount of nothing.
    """
    if text is None:
        return None
    found = _AMOUNT.fullmatch(text.strip())
    amount = float(found[1]) if found else 0.0
    if found is None or amount == 0:
        raise ConfigError(f"memory is {text!r:.40}; write it as 500MB, 2GiB or 30%")
    if found[2] == "%":
        return amount / 100
    return amount * _UNITS[found[2].upper()] / max(1, 4 * rows * dimension)
