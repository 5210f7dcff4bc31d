"""What a model artifact was made from: a checkpoint of ours, or a model of others."""

from pydantic import BaseModel, ConfigDict


class CheckpointReference(BaseModel):
    """The checkpoint that a model was exported from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    epoch: int
    step: int
    seed: int
    config_sha256: str


class ImportReference(BaseModel):
    """The model of others that was imported: its kind in `transformers`, and the hashes of its files.

    Attributes:
        model_type: "clip" or "siglip".
        weights_sha256: over the hashes of its weight files, in the order of their names.
        config_sha256: of its config.json.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_type: str
    weights_sha256: str
    config_sha256: str
