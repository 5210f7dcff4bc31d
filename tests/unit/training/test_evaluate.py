"""What evaluation does around the measuring: the model's threads end, however it goes."""

import threading
from pathlib import Path

import pytest

from model.errors import ConfigError, UnsupportedQuery
from tests.artifacts import write_colour_model
from tests.presets import write_karpathy
from training.evaluate import evaluate
from training.evaluation_data import EvaluationData


def encoding_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("encode")]


def test_the_threads_of_the_model_end_with_the_evaluation(tmp_path: Path) -> None:
    data, images = write_karpathy(tmp_path)
    model = write_colour_model(tmp_path / "model").directory
    before = encoding_threads()
    assert evaluate(model, EvaluationData(data, images, "val"), tmp_path)["rsum"] > 0
    assert encoding_threads() == before


def test_the_threads_of_the_model_end_where_the_evaluation_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, images = write_karpathy(tmp_path)
    model = write_colour_model(tmp_path / "model").directory

    def fail(*_: object) -> None:
        raise UnsupportedQuery("not this one")

    monkeypatch.setattr("training.evaluate.evaluate_protocol", fail)
    before = encoding_threads()
    with pytest.raises(UnsupportedQuery):
        evaluate(model, EvaluationData(data, images, "val"), tmp_path)
    assert encoding_threads() == before


def test_ranking_with_hubs_held_back_is_measured_beside_the_cosine(tmp_path: Path) -> None:
    data, images = write_karpathy(tmp_path)
    model = write_colour_model(tmp_path / "model").directory
    found = evaluate(model, EvaluationData(data, images, "val", normalise=True), tmp_path)
    plain = evaluate(model, EvaluationData(data, images, "val"), tmp_path)
    assert {name: found[name] for name in plain} == plain
    assert set(found) - set(plain) == {f"normalised_{name}" for name in plain}


@pytest.mark.parametrize(("split", "protocol"), [("train", "standard"), ("val", "scenes")])
def test_no_query_is_in_the_bank_that_it_is_measured_by(tmp_path: Path, split: str, protocol: str) -> None:
    data, images = write_karpathy(tmp_path)
    model = write_colour_model(tmp_path / "model").directory
    on = EvaluationData(data, images, split, protocol=protocol, normalise=True)
    with pytest.raises(ConfigError, match="--normalise"):
        evaluate(model, on, tmp_path)
