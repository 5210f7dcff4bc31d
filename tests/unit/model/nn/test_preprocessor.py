"""The image processors of `transformers`: which are taken, as what, and which are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.errors import ConfigError
from model.nn.backbones.preprocessor import read_image_preprocessing

CLIP: dict[str, Any] = {
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.1, 0.2, 0.3],
    "image_std": [0.4, 0.5, 0.6],
    "resample": 3,
}
SIGLIP: dict[str, Any] = {**CLIP, "size": {"height": 32, "width": 32}, "crop_size": None, "do_center_crop": None}


def write(directory: Path, settings: object, name: str = "preprocessor_config.json") -> Path:
    (directory / name).write_text(json.dumps(settings))
    return directory


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (CLIP, {"resize": "crop", "interpolation": "bicubic"}),
        ({**CLIP, "size": 32, "crop_size": 32, "resample": 2}, {"resize": "crop", "interpolation": "bilinear"}),
        (SIGLIP, {"resize": "squash", "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}),
        ({**SIGLIP, "do_normalize": False}, {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}),
        ({**SIGLIP, "do_convert_rgb": None, "rescale_factor": 0.00392156862745098}, {"size": 32}),
    ],
)
def test_what_can_be_said_is_taken(settings: dict[str, Any], expected: dict[str, Any], tmp_path: Path) -> None:
    found = read_image_preprocessing(write(tmp_path, settings), 32, "clip")
    assert {name: getattr(found, name) for name in expected} == expected


def test_a_whole_processor_is_read_where_there_is_no_file_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"image_processor": SIGLIP, "processor_class": "SiglipProcessor"}, "processor_config.json")
    assert read_image_preprocessing(tmp_path, 32, "siglip").resize == "squash"
    write(tmp_path, CLIP)
    assert read_image_preprocessing(tmp_path, 32, "clip").resize == "crop"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SIGLIP, "do_resize": False}, "says do_resize = false"),
        ({**SIGLIP, "do_rescale": False}, "says do_rescale = false"),
        ({**SIGLIP, "do_pad": True}, "says do_pad = true"),
        ({**SIGLIP, "rescale_factor": 1 / 127.5}, "only 1/255 is known"),
        ({**SIGLIP, "size": {"height": 32, "width": 40}}, r"resizes and crops to \[32, 40\]"),
        ({**CLIP, "size": {"shortest_edge": 40}}, r"resizes and crops to \[32, 40\]"),
        ({**CLIP, "do_center_crop": False}, "without a crop, which gives no square"),
        ({**CLIP, "size": {"longest_edge": 32}}, "is not the configuration of SigLIP's image processor"),
        ({**CLIP, "resample": 1}, "is not the configuration of SigLIP's image processor"),
        ([], "holds no configuration of an image processor"),
    ],
)
def test_what_cannot_be_said_is_refused(settings: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_image_preprocessing(write(tmp_path, settings), 32, "siglip")


def test_a_file_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"put its preprocessor_config.json there"):
        read_image_preprocessing(tmp_path, 32, "clip")
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"preprocessor_config.json holds no configuration"):
        read_image_preprocessing(tmp_path, 32, "clip")
