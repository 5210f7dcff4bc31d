"""The model and how to run it: preprocessing, the artifact, the ONNX runtime. No torch here; see `model.nn`."""

import os

# ONNX Runtime looks up a telemetry host when it is loaded; a service that runs offline asks for no network.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
