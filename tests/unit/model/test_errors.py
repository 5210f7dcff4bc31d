"""The base of the errors: what is public, and what only the operator sees."""

import pickle

from model.errors import AahrError, ArtifactMissing


def test_the_detail_is_kept_beside_the_message() -> None:
    error = ArtifactMissing("image.onnx is not there; export the model again", detail="/srv/model/image.onnx")
    assert str(error) == "image.onnx is not there; export the model again"
    assert error.detail == "/srv/model/image.onnx"
    assert error.with_detail == "image.onnx is not there; export the model again (/srv/model/image.onnx)"


def test_without_a_detail_there_is_the_message_alone() -> None:
    error = AahrError("the text is empty")
    assert error.detail is None
    assert error.with_detail == str(error) == "the text is empty"


def test_the_detail_survives_the_way_between_processes() -> None:
    copy = pickle.loads(pickle.dumps(ArtifactMissing("it is gone", detail="/srv/model")))
    assert (type(copy), str(copy), copy.detail) == (ArtifactMissing, "it is gone", "/srv/model")
