"""What three people said of pairs of images and captions."""

from pathlib import Path

import pytest

from model.errors import DataError
from training.data.judgments import load_judgments

HEADER = "image,caption_image,caption_number,caption,judge_1,judge_2,judge_3\n"


def write(folder: Path, text: str) -> Path:
    file = folder / "judgments.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_pairs_of_an_image_with_its_own_caption_are_left_out(tmp_path: Path) -> None:
    lines = 'a.jpg,b.jpg,2,"a dog, a cat",1,2,3\na.jpg,a.jpg,0,its own,4,4,4\nc.jpg,a.jpg,0,its own,1,1,2\n'
    judgments = load_judgments(write(tmp_path, HEADER + lines))
    assert judgments.images == ("a.jpg", "c.jpg")
    assert judgments.captions == ("a dog, a cat", "its own")
    assert judgments.grades.tolist() == [[1, 2, 3], [1, 1, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,caption\na.jpg,b\n", "line 2 of .*: column caption_image: "),
        (
            HEADER + "a.jpg,b.jpg,1,c,1,2,3\na.jpg,b.jpg,1,c,1,5,3\n",
            "line 3 of .*: column judge_2: .*less than or equal",
        ),
        (HEADER + "a.jpg,b.jpg,1,c,1,x,3\n", "line 2 of .*: column judge_2: "),
        (HEADER + "a.jpg,b.jpg,1,c,1,2\n", "line 2 of .*: column judge_3: "),
        (HEADER + "a.jpg,b.jpg,1,,1,2,3\n", "line 2 of .*: column caption: "),
        (HEADER + "a.jpg,a.jpg,1,c,1,2,3\n", "judges no pair"),
        ("", "judges no pair"),
    ],
)
def test_a_wrong_line_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_judgments(write(tmp_path, text))


def test_a_file_that_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as CSV"):
        load_judgments(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        load_judgments(tmp_path / "binary.csv")


@pytest.mark.photographs
def test_flickr8k_has_the_judgments_of_the_published_measure(flickr8k: Path) -> None:
    judgments = load_judgments(flickr8k / "expert_judgments.csv")
    assert judgments.grades.size == 16_992
    assert set(judgments.grades.ravel().tolist()) == {1, 2, 3, 4}
    assert all((flickr8k / "images" / name).is_file() for name in set(judgments.images))
