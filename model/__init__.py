"""The model and how to run it: preprocessing, the artifact, the ONNX runtime. No torch here; see `model.nn`."""
