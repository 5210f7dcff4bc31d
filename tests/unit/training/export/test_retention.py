"""Where a variant is measured, on what it is calibrated, and when it is refused."""

from pathlib import Path

import numpy as np
import pytest

from model.errors import DataError, TrainingError
from model.preprocess import ImagePreprocessing
from tests.artifacts import write_colour_model
from tests.presets import write_karpathy
from tests.toy import toy_config
from training.config import DataConfig
from training.data.karpathy import load_karpathy
from training.export.retention import CALIBRATION_IMAGES, HeldOut, held_out, refuse_loss

PREPROCESSING = ImagePreprocessing(
    size=8, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), resize="squash", interpolation="bilinear"
)


def test_a_loss_of_one_point_is_let_through_and_no_more() -> None:
    refused = []
    for found in (301.0, 300.0, 299.0, 298.99):
        try:
            refuse_loss({"rsum": 300.0}, {"rsum": found}, "int8")
        except TrainingError:
            refused.append(found)
    assert refused == [298.99]


@pytest.mark.parametrize("found", [298.99, float("nan")])
def test_a_larger_loss_is_refused_with_both_figures(found: float) -> None:
    with pytest.raises(TrainingError, match=rf"int8 graphs have rSum {found:.2f} on val, the fp32 graphs 300\.00"):
        refuse_loss({"rsum": 300.0}, {"rsum": found}, "int8")


def test_data_lies_where_the_recipe_or_the_options_say(tmp_path: Path) -> None:
    config = toy_config()
    place = held_out(config, None, None, tmp_path)
    assert (place.name, place.data, place.images) == ("toy", Path("toy.json"), Path("toy"))
    elsewhere = held_out(config, Path("there.json"), None, tmp_path)
    assert (elsewhere.data, elsewhere.images) == (Path("there.json"), Path("toy"))
    assert held_out(config, None, Path("images"), tmp_path).images == Path("images")
    scan = toy_config(data={"toy": DataConfig(format="scan", directory=Path("regions"), images=Path("toy"))})
    assert held_out(scan, None, None, tmp_path).data == Path("regions")


def test_scenes_are_drawn_once(tmp_path: Path) -> None:
    config = toy_config(data={"toy": DataConfig(format="scenes", count=10)})
    place = held_out(config, None, None, tmp_path)
    before = place.data.stat().st_mtime_ns
    assert held_out(config, None, None, tmp_path) == place
    assert place.data.stat().st_mtime_ns == before
    assert place.images is not None
    assert len(list(place.images.iterdir())) == 10


def test_a_model_is_measured_on_val(tmp_path: Path) -> None:
    data, images = write_karpathy(tmp_path)
    model = write_colour_model(tmp_path / "model").directory
    metrics = HeldOut("coco", data, images, tmp_path).measure(model)
    assert 0 < metrics["rsum"] <= 600


def test_missing_data_is_named_with_the_remedy(tmp_path: Path) -> None:
    model = write_colour_model(tmp_path / "model").directory
    with pytest.raises(DataError, match=r"nowhere\.json.*--data and --images"):
        HeldOut("toy", Path("nowhere.json"), tmp_path, tmp_path).measure(model)


def test_training_images_calibrate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, images = write_karpathy(tmp_path)
    batches = HeldOut("coco", data, images, tmp_path).calibration(PREPROCESSING)
    pixels = np.concatenate(batches)
    assert pixels.shape == (24, 3, 8, 8)  # all that there are
    again = np.concatenate(HeldOut("coco", data, images, tmp_path).calibration(PREPROCESSING))
    assert np.array_equal(pixels, again)
    assert caplog.records == []


def test_a_damaged_training_image_is_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, images = write_karpathy(tmp_path)
    whole = np.concatenate(HeldOut("coco", data, images, tmp_path).calibration(PREPROCESSING))
    damaged = load_karpathy(data, images, "train").image_paths[5]
    damaged.write_bytes(damaged.read_bytes()[:20])
    found = np.concatenate(HeldOut("coco", data, images, tmp_path).calibration(PREPROCESSING))
    assert np.array_equal(found, np.delete(whole, 5, axis=0))
    (message,) = caplog.messages
    assert "without one of the training images" in message
    assert damaged.name in message


def test_drawn_scenes_calibrate_where_there_are_no_training_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, images = write_karpathy(tmp_path, splits=("val", "test"))
    batches = HeldOut("coco", data, images, tmp_path).calibration(PREPROCESSING)
    assert sum(len(batch) for batch in batches) == CALIBRATION_IMAGES
    assert any("calibrated on drawn scenes" in message and str(data) in message for message in caplog.messages)
