"""What JSON is taken, and what of Python's own dialect is not."""

import pytest

from model.datasets.strict_json import parse_json


@pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', "[-Infinity]", r'"\ud800"', "{", "1" * 5000])
def test_json_that_an_answer_could_not_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_escaped_characters_outside_of_the_basic_plane_are_taken() -> None:
    assert parse_json(r'["\ud83d\udc15"]') == ["🐕"]
