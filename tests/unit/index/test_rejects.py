import json
from pathlib import Path

from index.rejects import Reject, printable, write_rejects
from model.errors import UnreadableImage


def test_rejects_are_one_json_object_a_line(tmp_path: Path) -> None:
    rejects = [
        Reject("a\n.jpg", "not_a_file", "ein Grund: ä"),
        Reject.of_error("b.jpg", UnreadableImage("it is empty")),
    ]
    write_rejects(tmp_path / "rejects.jsonl", rejects)
    lines = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"uri": "a\n.jpg", "code": "not_a_file", "reason": "ein Grund: ä"},
        {"uri": "b.jpg", "code": "unreadable_image", "reason": "it is empty"},
    ]


def test_what_a_terminal_cannot_take_is_escaped() -> None:
    assert printable("Straße 犬 🐕.jpg") == "Straße 犬 🐕.jpg"
    assert printable("\x1b[31mred\n\udcff") == r"\x1b[31mred\n\udcff"
