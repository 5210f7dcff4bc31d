"""The page of settings, docs/settings.md, written from the class that reads them: python -m service.settings_page."""

import sys

from service.settings import Settings, variable_of

_HEAD = """\
# Settings

Written by `python -m service.settings_page > docs/settings.md` from `service/settings.py`; a test compares the two.

`aahr serve` reads its settings from the environment; command-line options take precedence. An empty variable counts as
unset. Any other variable whose name begins with `AAHR_` is refused. `aahr doctor` says whether what is set can work.

| variable | default | what it sets |
|---|---|---|
"""


def settings_page() -> str:
    """The page in Markdown, with a row for every field of Settings in the order of the class."""
    return _HEAD + "".join(f"{_row(field)}\n" for field in Settings.model_fields)


def _row(field: str) -> str:
    info = Settings.model_fields[field]
    return f"| `{variable_of(field)}` | {_default(field)} | {info.description} |"


def _default(field: str) -> str:
    info = Settings.model_fields[field]
    if info.is_required():
        return "required"
    value = ",".join(sorted(map(str, info.default))) if isinstance(info.default, frozenset) else info.default
    return "" if value in (None, "", ()) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
