"""A file that is added to: a kill leaves what can be gone on with, and nothing of anybody else is lost."""

import os
from pathlib import Path

import pytest

from model.descriptions.file import Description, Source, as_lines, read_descriptions
from model.descriptions.resumable import ResumableFile
from model.errors import ArtifactBusy, ArtifactError, ArtifactMismatch, DataError, StorageFull

SOURCE = Source("openai:m", "0123456789abcdef")


def described(image: str, text: str = "A dog.", *, caption_id: int | None = None, digest: str = "0") -> Description:
    return Description(
        image=image,
        caption_id=caption_id,
        text=text,
        image_sha256=digest * 64,
        describer=SOURCE.describer,
        prompt_hash=SOURCE.prompt_hash,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "descriptions.jsonl"


def write(path: Path, *descriptions: Description) -> bytes:
    with ResumableFile(path, SOURCE) as file:
        for description in descriptions:
            file.add(description)
    return path.read_bytes()


def test_lines_are_added_to_those_that_are_there(path: Path) -> None:
    lines = [described("a"), described("b", caption_id=7, digest="1"), described("c", "Zwei Hündchen\nspielen.")]
    write(path, *lines[:2])
    with ResumableFile(path, SOURCE) as file:
        assert file.recorded == {("a", None): "0" * 64, ("b", 7): "1" * 64}
        file.add(lines[2])
        assert ("c", None) in file.recorded
    assert read_descriptions(path).descriptions == tuple(lines)


def test_a_line_can_be_read_as_soon_as_it_is_added(path: Path) -> None:
    """What is not handed to the system is lost with a killed process."""
    with ResumableFile(path, SOURCE) as file:
        file.add(described("a"))
        assert path.read_text() == as_lines([described("a")])


def test_a_torn_last_line_is_dropped_wherever_it_is_torn(path: Path) -> None:
    whole, line = write(path, described("a")), as_lines([described("b")]).encode()
    for left in range(1, len(line) - 1, 3):
        path.write_bytes(whole + line[:left])
        with ResumableFile(path, SOURCE) as file:
            assert set(file.recorded) == {("a", None)}
        assert path.read_bytes() == whole


def test_a_last_line_that_lacks_only_its_end_is_kept(path: Path) -> None:
    whole = write(path, described("a"), described("b"))
    path.write_bytes(whole[:-1])
    assert write(path, described("c")) == whole + as_lines([described("c")]).encode()


def test_a_long_torn_line_is_dropped_as_well(path: Path) -> None:
    whole = write(path, described("a"))
    path.write_bytes(whole + b'{"image": "' + b"x" * 200_000)
    assert write(path) == whole


@pytest.mark.parametrize("content", ["my thesis", '{"some": "json"}', "two\nlines\n", '{"image": "a"}\n{"image":'])
def test_a_file_of_something_else_is_not_touched(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(DataError, match=r"descriptions\.jsonl"):
        ResumableFile(path, SOURCE)
    assert path.read_text().startswith(content.partition("\n")[0])


@pytest.mark.parametrize("other", [SOURCE._replace(describer="tags"), SOURCE._replace(prompt_hash="f" * 16)])
def test_descriptions_of_another_describer_or_prompt_are_refused_and_kept(path: Path, other: Source) -> None:
    whole = write(path, described("a"))
    with pytest.raises(ArtifactMismatch, match=r"by openai:m \(prompt 0123456789abcdef\), these are by .*--overwrite"):
        ResumableFile(path, other)
    assert path.read_bytes() == whole
    with ResumableFile(path, other, overwrite=True) as file:
        assert file.recorded == {}
    assert path.read_bytes() == whole  # nothing came in its place
    with ResumableFile(path, other, overwrite=True) as file:
        file.add(described("a").model_copy(update=other._asdict()))
    assert read_descriptions(path).source == other


def test_dropped_lines_are_gone_and_the_others_stay(path: Path) -> None:
    write(path, described("a"), described("a", caption_id=1), described("b"))
    with ResumableFile(path, SOURCE) as file:
        file.drop({("a", None)})
        assert set(file.recorded) == {("a", 1), ("b", None)}
        file.add(described("a", "Another."))
        with pytest.raises(ArtifactBusy):
            ResumableFile(path, SOURCE)
    assert [line.text for line in read_descriptions(path).descriptions] == ["A dog.", "A dog.", "Another."]
    assert os.listdir(path.parent) == [path.name]


def test_lines_that_cannot_be_dropped_are_all_still_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = write(path, described("a"), described("b"))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with ResumableFile(path, SOURCE) as file:
        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(StorageFull):
            file.drop({("a", None)})
        monkeypatch.undo()
        assert path.read_bytes() == whole
        assert os.listdir(path.parent) == [path.name]
        file.add(described("c"))
    assert set(read_descriptions(path).of_image) == {"a", "b", "c"}


def test_two_do_not_write_to_one_file(path: Path) -> None:
    with ResumableFile(path, SOURCE) as file:
        with pytest.raises(ArtifactBusy, match="is being written by another process; wait"):
            ResumableFile(path, SOURCE, overwrite=True)
        file.add(described("a"))
    assert write(path, described("b")).count(b"\n") == 2


def test_a_run_that_describes_nothing_leaves_no_file(path: Path) -> None:
    ResumableFile(path, SOURCE).close()
    assert os.listdir(path.parent) == []


def test_a_full_disk_leaves_whole_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, room = os.write, 40

    def write_some(descriptor: int, data: bytes) -> int:
        if len(data) <= room:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:room])

    with ResumableFile(path, SOURCE) as file:
        file.add(described("a"))
        monkeypatch.setattr(os, "write", write_some)
        with pytest.raises(StorageFull, match=r"descriptions\.jsonl cannot be written: no space left"):
            file.add(described("b" * 10, "B" * 10))
        monkeypatch.undo()
    assert path.read_text() == as_lines([described("a")])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "d.jsonl"):
        with pytest.raises(ArtifactError, match="cannot be written: "):
            ResumableFile(path, SOURCE)
