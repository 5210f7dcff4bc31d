"""From a selection to a file: what is described, skipped, rejected, and described anew."""

import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from threading import Lock

import pytest
from PIL import Image

from model.descriptions import Rejected, Source, Subject, read_descriptions
from model.descriptions.progress import Advance
from model.descriptions.selection import Item
from model.descriptions.usage import Meter, Prices, Usage
from model.descriptions.writing import Run, Selection, Summary
from model.errors import ArtifactMismatch, ConfigError


def encoded(width: int, height: int = 8) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


class Pictures(dict[str, bytes]):
    """Image files in memory."""

    def __call__(self, name: str) -> bytes:
        if name not in self:
            raise FileNotFoundError(2, "No such file or directory")
        return self[name]


class Words:
    """A describer that says how wide an image is; the width 13 it rejects, and 99 ends it."""

    at_least = 10

    def __init__(self, prompt_hash: str = "0" * 16) -> None:
        self.source = Source("words", prompt_hash)
        self.asked: list[tuple[str, str | None]] = []
        self.sizes: list[tuple[int, int]] = []
        self._lock = Lock()

    def describe(self, subjects: Sequence[Subject]) -> list[str | Rejected]:
        with self._lock:
            self.asked += [(subject.name, subject.caption) for subject in subjects]
            self.sizes += [subject.image.size for subject in subjects]
        if subjects[0].image.width == 99:
            raise ConfigError("the server knows no such model")
        return [
            Rejected("unlucky") if subject.image.width == 13 else f"{subject.image.width} wide, {subject.caption}"
            for subject in subjects
        ]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "d.jsonl"


@pytest.fixture
def pictures() -> Pictures:
    return Pictures({f"{width}.png": encoded(width) for width in range(10, 20)})


def run(pictures: Pictures, out: Path, words: Words, *names: str, overwrite: bool = False) -> Summary:
    items = [Item(name) for name in names or pictures]
    return Run(pictures, words, jobs=3).into(out, Selection(items), overwrite=overwrite)


def counts(summary: Summary) -> tuple[int, int, int]:
    return summary.described, summary.rejected, summary.skipped


def rejects(out: Path) -> dict[str, str]:
    lines = out.with_name("d.jsonl.rejects.jsonl").read_text().splitlines()
    return {line["image"]: line["reason"] for line in map(json.loads, lines)}


def test_every_image_has_a_line_or_a_reason(pictures: Pictures, out: Path) -> None:
    pictures["broken.png"] = encoded(50)[:40]
    summary = run(pictures, out, Words(), *pictures, "gone.png")
    assert counts(summary) == (9, 3, 0)
    found = read_descriptions(out)
    assert found.source == Words().source
    assert found.of_image == {f"{width}.png": f"{width} wide, None" for width in range(10, 20) if width != 13}
    digests = {line.image: line.image_sha256 for line in found.descriptions}
    assert digests["12.png"] == hashlib.sha256(pictures["12.png"]).hexdigest()
    reasons = rejects(out)
    assert reasons.pop("13.png") == "unlucky"
    assert reasons.pop("gone.png") == "the file cannot be read: no such file or directory"
    assert "the image cannot be read" in reasons.pop("broken.png")
    assert reasons == {}


def test_a_second_run_asks_for_what_was_rejected_and_nothing_else(pictures: Pictures, out: Path) -> None:
    run(pictures, out, Words())
    before, words = out.read_bytes(), Words()
    assert counts(run(pictures, out, words)) == (0, 1, 9)
    assert words.asked == [("13.png", None)]
    assert out.read_bytes() == before

    pictures["13.png"] = encoded(14)
    assert counts(run(pictures, out, Words())) == (1, 0, 9)
    assert not out.with_name("d.jsonl.rejects.jsonl").exists()


def test_an_image_of_other_bytes_is_described_anew_in_place_of_its_line(pictures: Pictures, out: Path) -> None:
    run(pictures, out, Words())
    pictures["10.png"], words = encoded(77), Words()
    assert counts(run(pictures, out, words)) == (1, 1, 8)
    assert sorted(words.asked) == [("10.png", None), ("13.png", None)]
    assert read_descriptions(out).of_image["10.png"] == "77 wide, None"


def test_lines_that_are_not_chosen_stay(pictures: Pictures, out: Path) -> None:
    run(pictures, out, Words(), "10.png", "11.png")
    assert counts(run(pictures, out, Words(), "11.png", "12.png")) == (1, 0, 1)
    assert set(read_descriptions(out).of_image) == {"10.png", "11.png", "12.png"}


def test_an_image_that_cannot_be_read_now_keeps_its_line(pictures: Pictures, out: Path) -> None:
    run(pictures, out, Words(), "10.png", "11.png")
    before, words = out.read_bytes(), Words()
    del pictures["10.png"]
    assert counts(run(pictures, out, words, "10.png", "11.png")) == (0, 1, 1)
    assert (out.read_bytes(), words.asked) == (before, [])
    assert set(rejects(out)) == {"10.png"}


def test_each_caption_has_a_line_and_the_image_is_decoded_once(pictures: Pictures, out: Path) -> None:
    items = [Item("10.png", 1, "a"), Item("10.png", 2, "b"), Item("11.png", 3, "c")]
    assert counts(Run(pictures, Words()).into(out, Selection(items[:1]))) == (1, 0, 0)
    words = Words()
    assert counts(Run(pictures, words).into(out, Selection(items))) == (2, 0, 1)
    assert sorted(words.asked, key=str) == [("10.png", "b"), ("11.png", "c")]
    assert read_descriptions(out).of_caption == {1: "10 wide, a", 2: "10 wide, b", 3: "11 wide, c"}


def test_another_prompt_is_refused_before_anything_is_asked(pictures: Pictures, out: Path) -> None:
    run(pictures, out, Words())
    before, words = out.read_bytes(), Words("1" * 16)
    with pytest.raises(ArtifactMismatch):
        run(pictures, out, words)
    assert (out.read_bytes(), words.asked) == (before, [])
    assert counts(run(pictures, out, words, overwrite=True)) == (9, 1, 0)


def test_what_ends_the_describer_ends_the_run_and_keeps_what_was_written(pictures: Pictures, out: Path) -> None:
    pictures["zz.png"] = encoded(99)
    with pytest.raises(ConfigError, match="no such model"):
        Run(pictures, Words(), jobs=1).into(out, Selection([Item(name) for name in pictures]))
    assert {"10.png", "11.png"} <= set(read_descriptions(out).of_image)


def test_ctrl_c_leaves_a_file_to_go_on_with(pictures: Pictures, out: Path) -> None:
    advanced = 0

    def advance(count: int, note: str) -> None:  # noqa: ARG001 - the signature is Advance's
        nonlocal advanced
        advanced += count
        if advanced == 4:
            raise KeyboardInterrupt

    stopped = Run(pictures, Words(), jobs=2, track=lambda *_: advance).into(
        out, Selection([Item(name) for name in pictures])
    )
    assert stopped.interrupted
    assert stopped.described + stopped.rejected == 4
    written, words = set(read_descriptions(out).of_image), Words()
    assert not run(pictures, out, words).interrupted
    assert written.isdisjoint(name for name, _ in words.asked)
    assert len(read_descriptions(out).descriptions) == 9


def test_progress_counts_every_image_and_says_what_it_costs(pictures: Pictures, out: Path) -> None:
    shown: list[tuple[str, int, int, str]] = []

    def track(name: str, total: int) -> Advance:
        return lambda count, note: shown.append((name, total, count, note))

    meter = Meter(Prices(1.0, 1.0))
    meter.add(Usage(1_000_000, 500_000))
    Run(pictures, Words(), meter=meter, track=track).into(out, Selection([Item(name) for name in pictures]))
    assert [entry[:3] for entry in shown] == [("describing", 10, 1)] * 10
    assert shown[-1][3] == "1 rejected, cost 1.5000"
    shown.clear()
    Run(pictures, Words(), track=track).into(out, Selection([Item(name) for name in pictures]))
    assert shown == [("checking", 9, 1, "")] * 9 + [("describing", 1, 1, "1 rejected")]


def test_paths_that_were_refused_before_are_rejects(pictures: Pictures, out: Path) -> None:
    selection = Selection([Item("10.png")], [("link.png", "the link leads out")])
    assert counts(Run(pictures, Words()).into(out, selection)) == (1, 1, 0)
    assert rejects(out) == {"link.png": "the link leads out"}


def test_a_describer_gets_no_more_pixels_than_it_looks_at(out: Path) -> None:
    words = Words()
    run(Pictures({"big.png": encoded(400, 100)}), out, words)
    assert words.sizes == [(80, 20)]  # a fifth of it: the shorter side is still twice `at_least`


def test_the_summary_says_it_all(out: Path) -> None:
    meter = Meter(Prices(1.0, 1.0))
    meter.add(Usage(2_000_000, 500_000))
    summary = Summary(out, meter, described=10, rejected=1, skipped=2, seconds=4.0)
    assert str(summary) == (
        f"{out}: 10 described, 1 rejected, 2 skipped, 4.0 s, 2.5 per second, 2,000,000 + 500,000 tokens, cost 2.5000"
    )
    assert str(Summary(out, Meter())) == f"{out}: 0 described, 0 rejected, 0 skipped, 0.0 s, 0.0 per second"
