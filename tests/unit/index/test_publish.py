import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from index.items import Modality
from index.publish import publish, rebuild_lock
from index.store import current_version, load_index
from model.errors import ArtifactCorrupt, ArtifactError
from tests.unit.index.drafts import make_draft, publish_draft, unit_rows

REPOSITORY = Path(__file__).parents[3]

# Everything that touches the disk between a draft and the version being current.
STEPS = [
    ("index.publish", "FaissEngine.write"),
    ("index.publish", "write_gallery"),
    ("index.publish", "write_rejects"),
    ("index.publish", "describe_files"),
    ("index.publish", "load_version"),
    ("index.publish", "validate"),
    ("model.manifest", "_fsync_tree"),
    ("model.manifest", "replace_directory"),
    ("index.publish", "write_text_atomically"),
]

KILLED_WHILE_PUBLISHING = """
import importlib, os, sys
from pathlib import Path
from tests.unit.index.drafts import make_draft, publish_draft
module, step, root = sys.argv[1:]
holder = importlib.import_module(module)
*path, name = step.split(".")
for part in path:
    holder = getattr(holder, part)
setattr(holder, name, lambda *arguments, **options: os._exit(9))
publish_draft(Path(root) / "index", make_draft(Path(root), images=20))
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    publish_draft(tmp_path / "index", make_draft(tmp_path))
    return tmp_path / "index"


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "versions").iterdir())


@pytest.mark.parametrize(("module", "step"), STEPS)
@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ArtifactCorrupt("no")]
)
def test_a_failure_at_any_step_leaves_the_old_version(
    directory: Path, tmp_path: Path, module: str, step: str, failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    expected = ArtifactError if isinstance(failure, OSError) else type(failure)
    with monkeypatch.context() as patched:
        patched.setattr(f"{module}.{step}", fail)
        with pytest.raises(expected):
            publish_draft(directory, make_draft(tmp_path, images=20))
    assert load_index(directory).version == "000001"
    assert not [name for name in names_in(directory) if name.startswith(".")]
    assert publish_draft(directory, make_draft(tmp_path, images=20)).manifest.counts.image == 20


@pytest.mark.parametrize(("module", "step"), [STEPS[0], STEPS[4], STEPS[7], STEPS[8]])
def test_a_killed_process_leaves_the_old_version(directory: Path, tmp_path: Path, module: str, step: str) -> None:
    command = [sys.executable, "-c", KILLED_WHILE_PUBLISHING, module, step, str(tmp_path)]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 9
    assert load_index(directory).version == "000001"
    index = publish_draft(directory, make_draft(tmp_path, images=21))
    assert index.manifest.counts.image == 21
    assert not [name for name in names_in(directory) if name.startswith(".")], "what was left behind is cleared away"


def test_the_last_three_versions_are_kept(directory: Path, tmp_path: Path) -> None:
    for _ in range(4):
        publish_draft(directory, make_draft(tmp_path))
    assert names_in(directory) == ["000003", "000004", "000005"]
    assert current_version(directory) == "000005"


def test_a_version_number_is_never_used_twice(directory: Path, tmp_path: Path) -> None:
    publish_draft(directory, make_draft(tmp_path))
    (directory / "CURRENT").write_text("000001\n")  # Rolled back by hand.
    assert load_index(directory).version == "000001"
    assert publish_draft(directory, make_draft(tmp_path)).version == "000003"


def test_what_cannot_be_removed_does_not_undo_what_was_published(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        publish_draft(directory, make_draft(tmp_path))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    assert publish_draft(directory, make_draft(tmp_path)).version == "000004"
    assert names_in(directory) == ["000001", "000002", "000003", "000004"]


def test_a_second_rebuild_is_refused_and_names_the_first(directory: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(directory)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(ArtifactError, match=f"being rebuilt by process {holder.pid}; wait"), rebuild_lock(directory):
        pytest.fail("the lock is held")
    holder.kill()
    holder.communicate()
    with rebuild_lock(directory):
        assert load_index(directory).version == "000001"


HOLD_THE_LOCK = """
import sys
from pathlib import Path
from index.publish import rebuild_lock
with rebuild_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_is_free_after_a_failure(directory: Path) -> None:
    with pytest.raises(KeyError), rebuild_lock(directory):
        raise KeyError
    with rebuild_lock(directory):
        pass


def test_a_folder_of_other_things_is_not_mixed_with_an_index(tmp_path: Path) -> None:
    (tmp_path / "photograph.jpg").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"is no index: it holds 'photograph\.jpg'"), rebuild_lock(tmp_path):
        pytest.fail("the folder is not ours")
    assert [path.name for path in tmp_path.iterdir()] == ["photograph.jpg"]


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "index"):
        with pytest.raises(ArtifactError, match=r"cannot be written to: .*another folder"), rebuild_lock(out):
            pytest.fail("there is a file in the way")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: rows * 1.01, "length is off 1 by 0.01; export it again"),
        (lambda rows: rows[:-1], "rows"),
        (lambda rows: np.full_like(rows, np.nan), "length"),
    ],
)
def test_embeddings_that_cannot_be_right_are_not_published(
    directory: Path, tmp_path: Path, spoil: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    draft = make_draft(tmp_path)
    spoilt = {**draft.embeddings, Modality.TEXT: spoil(draft.embeddings[Modality.TEXT])}
    with pytest.raises(ArtifactCorrupt, match=message):
        publish_draft(directory, replace(draft, embeddings=spoilt))
    assert load_index(directory).version == "000001"


def test_rejects_and_manifest_are_files_that_people_can_read(directory: Path) -> None:
    version = directory / "versions" / "000001"
    (reject,) = [json.loads(line) for line in (version / "rejects.jsonl").read_text().splitlines()]
    assert reject == {"uri": "bad.jpg", "code": "unreadable_image", "reason": "it is empty"}
    assert json.loads((version / "manifest.json").read_text())["engines"] == {"image": "flat-ip", "text": "flat-ip"}


def test_publishing_needs_the_folder_that_the_lock_makes(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file"):
        publish(tmp_path / "missing", make_draft(tmp_path))


def test_equal_rows_are_no_reason_against_an_index(tmp_path: Path) -> None:
    draft = make_draft(tmp_path)
    same = np.tile(unit_rows(1), (12, 1))
    index = publish_draft(tmp_path / "same", replace(draft, embeddings={**draft.embeddings, Modality.IMAGE: same}))
    assert index.manifest.counts.image == 12
