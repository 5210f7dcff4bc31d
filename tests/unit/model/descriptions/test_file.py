"""The file of descriptions: what is written is read, and what is wrong is named with its line."""

from pathlib import Path

import pytest

from model.descriptions import Description, Source, read_descriptions
from model.descriptions.file import as_lines
from model.errors import DataError

SOURCE = Source("tags", "0123456789abcdef")


def described(
    image: str, text: str = "A dog.", caption_id: int | str | None = None, source: Source = SOURCE
) -> Description:
    return Description(
        image=image,
        caption_id=caption_id,
        text=text,
        image_sha256="0" * 64,
        describer=source.describer,
        prompt_hash=source.prompt_hash,
    )


def written(path: Path, *descriptions: Description) -> Path:
    path.write_text(as_lines(descriptions), encoding="utf-8")
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    lines = [described("a/b.jpg", "Zwei Hündchen\nspielen."), described("c.jpg", caption_id=7), described("c.jpg")]
    found = read_descriptions(written(tmp_path / "d.jsonl", *lines))

    assert found.source == SOURCE
    assert found.descriptions == tuple(lines)
    assert found.of_image == {"a/b.jpg": "Zwei Hündchen\nspielen.", "c.jpg": "A dog."}
    assert found.of_caption == {7: "A dog."}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no description"),
        ([described("a"), described("a")], "line 2: a is described in line 1 already"),
        ([described("a", caption_id=3), described("a", caption_id=3)], "line 2: caption 3 of a is described in line 1"),
        ([described("a"), described("b", source=Source("tags", "f" * 16))], "line 2: by tags with prompt ffffffff"),
        ([described("a"), described("b", source=Source("neighbours", "0" * 16))], "line 2: by neighbours"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(tmp_path: Path, lines: list[Description], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_descriptions(written(tmp_path / "d.jsonl", *lines))


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"image": ""}', '{"image": "a", "text": 3}', "\x00"])
def test_a_line_that_is_not_a_description_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "d.jsonl", described("a"))
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")

    with pytest.raises(DataError, match=r"d\.jsonl, line 2: "):
        read_descriptions(path)


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl cannot be read: no such file"):
        read_descriptions(tmp_path / "none.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="is not UTF-8 at byte 0"):
        read_descriptions(tmp_path / "bytes.jsonl")
