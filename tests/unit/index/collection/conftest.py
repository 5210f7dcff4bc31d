"""The suite's assertions show their values, as those of tests do."""

import pytest

pytest.register_assert_rewrite(*(f"tests.unit.index.collection.{name}" for name in ("oracle", "suite", "trial")))
