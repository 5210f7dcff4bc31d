"""`aahr describe` as a user runs it, against a real server: resumed after kills, and silent about its key."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import cli
from model.descriptions import read_descriptions
from model.errors import AahrError, ArtifactMismatch, ConfigError, DataError
from tests.chat_server import Asked, ChatServer, Reply, chat_server, completion, describing, refusal, write_images
from tests.servers import eventually

KEY = "sk-secret-0123"
WIDTHS = range(30, 42)
NAMES = {f"even/{width}.png" if width % 2 == 0 else f"{width}.png" for width in WIDTHS}
MAIN = "import sys; from cli import main; sys.argv[0] = 'aahr'; main()"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images", WIDTHS)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "descriptions.jsonl"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with chat_server() as chat:
        yield chat


def arguments(server: ChatServer, images: Path, out: Path, *more: str) -> list[str]:
    paths = ["--images", str(images), "--out", str(out)]
    return ["describe", *paths, "--with", "openai", "--endpoint", server.url, "--model", "llava", *more]


def describe(server: ChatServer, images: Path, out: Path, *more: str) -> str:
    """What the command prints at the end of a run that succeeds."""
    result = invoke(server, images, out, *more)
    assert result.exception is None, result.output
    return result.stdout


def invoke(server: ChatServer, images: Path, out: Path, *more: str) -> Result:
    result = CliRunner().invoke(cli.app, arguments(server, images, out, *more))
    assert KEY not in result.output + repr(result.exception)
    assert all(KEY.encode() not in path.read_bytes() for path in out.parent.rglob("*") if path.is_file())
    return result


def refused(kind: type[AahrError], server: ChatServer, images: Path, out: Path, *more: str) -> str:
    """The error of a run that is refused."""
    error = invoke(server, images, out, *more).exception
    assert isinstance(error, kind)
    return str(error)


def lines(out: Path) -> dict[str, str]:
    return dict(read_descriptions(out).of_image)


def write_dataset(path: Path) -> Path:
    """Every image in a split of its own kind, with two captions."""
    names = sorted(NAMES)
    entries = [
        {
            "filename": name,
            "split": ("train", "restval", "val", "test")[at % 4],
            "sentences": [{"raw": f"caption {2 * at}", "sentid": 2 * at}, {"raw": "same", "sentid": 2 * at + 1}],
        }
        for at, name in enumerate(names)
    ]
    path.write_text(json.dumps({"images": entries}))
    return path


def test_a_folder_is_described_with_captions_of_the_model_itself(server: ChatServer, images: Path, out: Path) -> None:
    (images / ".hidden.png").write_bytes((images / "31.png").read_bytes())
    (images / "notes.txt").write_text("a note")
    shown = describe(server, images, out, "--prompt-price", "10", "--completion-price", "100")
    assert shown.startswith(f"{out}: 12 described, 0 rejected, 0 skipped, ")
    assert shown.endswith(" per second, 2,400 + 480 tokens, cost 0.0720\n")
    assert lines(out) == {name: f"An image that is {Path(name).stem} pixels wide." for name in NAMES}
    assert len(server.asked) == 24
    assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    assert set(os.listdir(out.parent)) == {"images", out.name}


def test_a_file_inside_of_the_folder_is_not_an_image(server: ChatServer, images: Path) -> None:
    out = images / "descriptions.jsonl"
    server.script = lambda asked: completion("I'm sorry.") if asked.image.width == 33 else describing(asked)
    assert "11 described, 1 rejected, 0 skipped" in describe(server, images, out)
    assert "0 described, 1 rejected, 11 skipped" in describe(server, images, out)
    rejects = [json.loads(line) for line in (images / f"{out.name}.rejects.jsonl").read_text().splitlines()]
    assert rejects == [{"image": "33.png", "reason": "the model refused: I'm sorry."}]


def test_training_captions_go_into_the_prompts_one_description_each(
    server: ChatServer, images: Path, out: Path, tmp_path: Path
) -> None:
    data = write_dataset(tmp_path / "dataset.json")
    options = ["--data", str(data), "--split", "train", "--reference-captions", "--per", "caption"]
    assert "12 described" in describe(server, images, out, *options)
    ids = {sentid for at in range(12) if at % 4 < 2 for sentid in (2 * at, 2 * at + 1)}
    assert set(read_descriptions(out).of_caption) == ids
    assert sum("caption 0\n" in asked.text for asked in server.asked) == 1
    assert "12 skipped" in describe(server, images, out, *options)
    assert len(server.asked) == 12


@pytest.mark.parametrize("split", ["val", "test"])
def test_captions_of_a_test_never_leave_this_machine(
    server: ChatServer, images: Path, out: Path, tmp_path: Path, split: str
) -> None:
    data = ["--data", str(write_dataset(tmp_path / "dataset.json")), "--split", split]
    assert "gives the answer away" in refused(ConfigError, server, images, out, *data, "--reference-captions")
    assert server.asked == []
    assert "3 described" in describe(server, images, out, *data)
    assert "caption" not in "".join(asked.text for asked in server.asked if asked.wants_caption)
    assert not any(f"caption {number}\n" in asked.text for asked in server.asked for number in range(24))


def test_files_of_another_prompt_or_model_are_refused(server: ChatServer, images: Path, out: Path) -> None:
    describe(server, images, out)
    before, asked = out.read_bytes(), len(server.asked)
    for other in (["--model", "another"], ["--temperature", "0.5"], ["--max-tokens", "50"], ["--image-side", "64"]):
        assert "--overwrite" in refused(ArtifactMismatch, server, images, out, *other)
    assert (out.read_bytes(), len(server.asked)) == (before, asked)
    describe(server, images, out, "--model", "another", "--overwrite")
    assert read_descriptions(out).source.describer == "openai:another"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "train"], "name it with --data"),
        (["--per", "caption"], "name it with --data"),
        (["--key-env", "NOT_SET"], "NOT_SET of --key-env is not set"),
        (["--endpoint", "localhost"], "is not an http or https URL"),
        (["--timeout", "500"], "no longer than the second"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    server: ChatServer, images: Path, out: Path, options: list[str], message: str
) -> None:
    assert message in refused(ConfigError, server, images, out, *options)
    assert not out.exists()


def test_a_describer_without_its_options_and_a_folder_without_images_are_refused(tmp_path: Path) -> None:
    base = ["describe", "--out", str(tmp_path / "d.jsonl"), "--with", "openai", "--images"]
    for more, message in (([], "needs --endpoint"), (["--endpoint", "http://host"], "needs --model")):
        result = CliRunner().invoke(cli.app, [*base, str(write_images(tmp_path / "images", WIDTHS)), *more])
        assert isinstance(result.exception, ConfigError)
        assert message in str(result.exception)
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        assert isinstance(CliRunner().invoke(cli.app, [*base, str(tmp_path / folder)]).exception, DataError)


def test_an_unknown_model_costs_one_request_each_job_at_most(server: ChatServer, images: Path, out: Path) -> None:
    server.script = lambda _: refusal(404, "The model `llava` does not exist.", code="model_not_found")
    assert "does not serve the model 'llava'" in refused(ConfigError, server, images, out, "--jobs", "1")
    assert len(server.asked) <= 2
    assert not out.exists()


def test_a_killed_run_is_gone_on_with_and_nothing_written_is_asked_again(
    server: ChatServer, images: Path, out: Path, tmp_path: Path
) -> None:
    held = 5

    def script(asked: Asked) -> Reply:
        """Descriptions end after some, so that the kill comes in the middle however fast this machine is."""
        stuck = not asked.wants_caption and server.described().index(asked.image.width) >= held
        return Reply(b"", after_s=60) if stuck else describing(asked)

    server.script = script
    process = subprocess.Popen([sys.executable, "-c", MAIN, *arguments(server, images, out, "--jobs", "2")])
    eventually(lambda: out.exists() and out.read_bytes().count(b"\n") >= held, "some lines are written")
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with out.open("ab") as file:
        file.write(b'{"image": "31.pn')  # as if the kill had come in the middle of a write

    written = [json.loads(line)["image"] for line in out.read_text().splitlines()[:-1]]
    server.script, asked_before = describing, len(server.asked)
    assert f"{12 - len(written)} described, 0 rejected, {len(written)} skipped" in describe(server, images, out)
    again = {asked.image.width for asked in server.asked[asked_before:]}
    assert again == {int(Path(name).stem) for name in NAMES - set(written)}
    describe(server, images, tmp_path / "uninterrupted.jsonl")
    assert set(out.read_text().splitlines()) == set((tmp_path / "uninterrupted.jsonl").read_text().splitlines())


def test_ctrl_c_ends_at_once_with_a_summary(server: ChatServer, images: Path, out: Path) -> None:
    server.script = lambda asked: Reply(b"", after_s=60) if asked.number >= 8 else describing(asked)
    command = [sys.executable, "-c", MAIN, *arguments(server, images, out, "--jobs", "2")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            eventually(lambda: out.exists() and out.read_bytes().count(b"\n") >= 3, "some lines are written")
            eventually(lambda: len(server.asked) == 10, "two requests are stuck")
            process.send_signal(signal.SIGINT)
            shown, said = process.communicate(timeout=30)
        finally:
            process.kill()  # else a run that does not end would fail whatever test comes next
    assert process.returncode == 130, said
    described = len(lines(out))
    assert shown.startswith(f"{out}: {described} described, ")
    assert "stopped; the same command goes on from there" in said
    assert KEY not in shown + said
    server.script = describing
    assert f"{12 - described} described, 0 rejected, {described} skipped" in describe(server, images, out)
