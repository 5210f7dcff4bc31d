"""Sources of texts: token ids are padded batch by batch, and several data sets are one. Scenes are drawn once."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from model.preprocess import Tokens
from training.config import DataConfig
from training.data import sources
from training.data.sources import drawn_scenes
from training.data.texts import TokenTable, join_texts
from training.scenes import generator_version, write_scenes


def table(*texts: list[int]) -> TokenTable:
    return TokenTable([np.array(text, np.int64) for text in texts])


def test_a_batch_is_padded_to_its_longest_text() -> None:
    batch = table([1, 2, 3, 4, 5], [6, 7], [8]).batch(np.array([2, 1]))
    assert batch.input_ids.tolist() == [[8, 0], [6, 7]]
    assert batch.attention_mask.tolist() == [[1, 0], [1, 1]]


def test_padding_of_the_tokenizer_is_taken_off() -> None:
    tokens = Tokens(np.array([[5, 6, 0], [7, 8, 9]]), np.array([[1, 1, 0], [1, 1, 1]]), np.zeros(2, bool))
    assert [ids.tolist() for ids in TokenTable.of(tokens).texts] == [[5, 6], [7, 8, 9]]


def test_token_ids_of_several_data_sets_follow_each_other() -> None:
    joined = join_texts([table([1], [2, 3]), table([4, 5, 6])])
    assert joined.batch(np.array([2, 0])).input_ids.tolist() == [[4, 5, 6], [1, 0, 0]]  # type: ignore[union-attr]


SCENES = DataConfig(format="scenes", count=3, seed=5)


def test_scenes_of_another_generator_are_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn_scenes(SCENES, tmp_path)
    drawn = (first / "scenes.json").stat().st_mtime_ns
    assert drawn_scenes(SCENES, tmp_path) == first
    assert (first / "scenes.json").stat().st_mtime_ns == drawn
    monkeypatch.setattr(sources, "generator_version", lambda: "other")
    other = drawn_scenes(SCENES, tmp_path)
    assert other != first
    assert (other / "scenes.json").exists()


def test_the_version_of_the_generator_follows_its_code(tmp_path: Path) -> None:
    (tmp_path / "pen.py").write_text("WIDTH = 1")
    before = generator_version(tmp_path)
    assert before == generator_version(tmp_path) != generator_version()
    (tmp_path / "pen.py").write_text("WIDTH = 2")
    assert generator_version(tmp_path) != before


def test_one_process_draws_while_the_others_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads stand for the processes: the lock is one of the file system."""
    drawing: list[int] = []

    def slowly(out: Path, *, count: int, seed: int) -> None:
        drawing.append(1)
        time.sleep(0.2)
        write_scenes(out, count=count, seed=seed)

    monkeypatch.setattr(sources, "write_scenes", slowly)
    runs = [threading.Thread(target=drawn_scenes, args=(SCENES, tmp_path)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(drawing) == 1
