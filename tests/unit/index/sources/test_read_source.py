"""Which reader takes what, and captions beside images."""

import errno
from pathlib import Path

import pytest

from index.items import image_item_id
from index.sources import read_source
from index.sources.faults import is_machine_fault, machine_fault
from model.errors import DataError
from tests.unit.index.sources.test_tar import write_tar


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "sub/a.png", "notes.txt"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"x")
    return tmp_path / "images"


def test_a_folder_alone(folder: Path) -> None:
    source = read_source(folder)
    assert [(each.uri, each.id) for each in source.records] == [
        ("b.jpg", image_item_id("b.jpg")),
        ("sub/a.png", image_item_id("sub/a.png")),
    ]
    assert (source.images_root, source.ignored, source.captions) == (folder, 1, 0)
    assert read_source(folder, leave_out=folder / "sub").records == source.records[:1]


def test_captions_meet_the_images_of_a_folder_and_of_a_pattern(folder: Path, tmp_path: Path) -> None:
    captions = tmp_path / "c.csv"
    captions.write_text("image,id,caption\nsub/a.png,mine,one\nb.jpg,,two\nsub/a.png,mine,three\n")
    assert [(each.uri, each.id, len(each.captions)) for each in read_source(folder, captions=captions).records] == [
        ("b.jpg", image_item_id("b.jpg"), 1),
        ("sub/a.png", "mine", 2),
    ]
    source = read_source(f"{folder}/**/*.png", captions=captions)
    assert [(each.uri, len(each.captions)) for each in source.records] == [("sub/a.png", 2)]
    assert source.left_out == 1


def test_captions_without_their_image_are_counted_or_an_error(folder: Path, tmp_path: Path) -> None:
    captions = tmp_path / "c.csv"
    captions.write_text("image,caption\n" + "".join(f"{at}.jpg,{at}\n" for at in range(5)) + "b.jpg,x\n")
    source = read_source(folder, captions=captions)
    assert source.left_out == 5
    (note,) = source.notes
    assert note.startswith(
        f"5 captions in {captions} are of images that are not in {folder}: 0.jpg, 1.jpg, 2.jpg and 2"
    )
    assert note.endswith("they are left out")
    with pytest.raises(DataError, match="add the images, or leave out --strict"):
        read_source(folder, captions=captions, strict=True)


def test_captions_beside_archives(tmp_path: Path) -> None:
    captions = tmp_path / "c.csv"
    captions.write_text("image,caption\na.tar/1.jpg,one\n")
    source = read_source(write_tar(tmp_path / "a.tar", {"1.jpg": b"x", "2.jpg": b"x"}), captions=captions)
    assert [len(record.captions) for record in source.records] == [1, 0]


def test_a_pattern_of_tables_and_images_is_one_of_images(folder: Path) -> None:
    (folder / "c.csv").write_text("image\nb.jpg\n")
    assert [record.uri for record in read_source(f"{folder}/*").records] == ["b.jpg"]
    assert [record.uri for record in read_source(folder / "c.csv").records] == ["b.jpg"]


def test_what_cannot_be_a_source(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image\nb.jpg\n")
    (tmp_path / "notes.md").write_text("no image")
    for images, message in (
        (tmp_path / "notes.md", "notes.md is not a folder, a tar archive or a table by its name"),
        (tmp_path / "missing", "missing is not a folder"),
        ([folder, tmp_path / "t.csv"], "is not what can be indexed at once"),
        (f"{tmp_path}/*.tar", "matches no image"),
    ):
        with pytest.raises(DataError, match=message):
            read_source(images)
    with pytest.raises(DataError, match=r"t\.csv holds the captions itself; leave out c\.csv"):
        read_source(tmp_path / "t.csv", captions=Path("c.csv"))


def test_faults_of_the_machine_are_told_from_those_of_a_file(tmp_path: Path) -> None:
    of_the_file = (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
    of_the_machine = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENODEV)
    assert [code for code in of_the_file if is_machine_fault(OSError(code, "x"), tmp_path)] == []
    assert [code for code in of_the_machine if not is_machine_fault(OSError(code, "x"), tmp_path)] == []
    assert is_machine_fault(MemoryError())
    assert not is_machine_fault(ValueError())
    assert is_machine_fault(OSError(errno.ENOENT, "x"), tmp_path / "unmounted")
    fault = machine_fault("a.jpg", OSError(errno.EIO, "Input/output error"))
    assert str(fault).startswith("a.jpg cannot be read: input/output error (EIO); that is a fault of the machine")
    assert "memory ran out" in str(machine_fault("a.jpg", MemoryError()))


def test_single_images_lie_below_the_folder_that_holds_them_all(folder: Path) -> None:
    (only,) = read_source(folder / "b.jpg").records
    assert only.uri == "b.jpg"
    source = read_source([folder / "b.jpg", folder.parent / folder.name / "b.jpg"][:1])
    assert source.images_root == folder
