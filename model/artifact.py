"""The model artifact: the directory between `aahr export` and everything that encodes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from model.calibration import CALIBRATION, Calibration, read_calibration
from model.descriptions.file import Source
from model.errors import ArtifactCorrupt
from model.manifest import (
    MANIFEST,
    FileEntry,
    describe_files,
    parse_json_file,
    read_manifest,
    verify_files,
    write_text_atomically,
)
from model.origins import CheckpointReference, ImportReference
from model.preprocess import Preprocessing

MODEL_FORMAT = "aahr-model/3"
# Its `local_features` are V', after the fragment relation; those of the later formats are V, before it. Models of the
# third may take semantics.
FIRST_FORMAT = "aahr-model/1"
IMAGE_GRAPH = "image.onnx"
TEXT_GRAPH = "text.onnx"
TOKENIZER = "tokenizer.json"
GLOBAL_TOKENIZER = "global_tokenizer.json"
PREPROCESSING = "preprocessing.json"
SENTENCE_GRAPH = "sentence.onnx"
SENTENCE_TOKENIZER = "sentence_tokenizer.json"
SEMANTICS = "semantics.json"
REQUIRED_FILES = (IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, PREPROCESSING)
# Weights over 2 GB do not fit into one protobuf message; ONNX keeps them beside the graph. A second tokenizer is there
# where the text's global feature has an encoder of its own.
OPTIONAL_FILES = (f"{IMAGE_GRAPH}.data", f"{TEXT_GRAPH}.data", GLOBAL_TOKENIZER)
# Of a model that fuses semantics, and of such a model alone.
SEMANTIC_FILES = (SENTENCE_GRAPH, SENTENCE_TOKENIZER, SEMANTICS)
# Describers that need no server travel with the model.
DESCRIBER_FILES = ("tags.onnx", "tags.json", "neighbours.onnx", "neighbours.json", "neighbours.arrow")

_EXPECTED = "a model directory, as `aahr export` writes it"

ImageInput = Literal["pixels", "regions"]
Precision = Literal["fp32", "fp16", "int8"]


class SemanticsReference(BaseModel):
    """Who described the images of training (model.descriptions.Source), and what embedded the descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    describer: str
    prompt_hash: str
    sentence_encoder: str

    @property
    def source(self) -> Source:
        """Who described."""
        return Source(self.describer, self.prompt_hash)


class Semantics(BaseModel):
    """What `semantics.json` holds.

    Attributes:
        max_length: of a description or caption, in tokens of the sentence encoder, special ones included.
        missing: [D], what stands in for a description that is missing: the mean of those of training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_length: int = Field(ge=3)
    missing: tuple[float, ...]


class ModelManifest(BaseModel):
    """What a model is, what it was made from, and the hashes of its files.

    It was made from a checkpoint of ours, or imported: exactly one of the two is there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    format: Literal["aahr-model/1", "aahr-model/2", "aahr-model/3"]
    name: str
    precision: Precision = "fp32"  # manifests older than the variants do not say it
    model_id: str
    created_at: AwareDatetime
    dimension: int = Field(gt=0)
    image_input: ImageInput
    image_backbone: str
    text_backbone: str
    text_global_backbone: str | None = None
    semantics: SemanticsReference | None = None
    checkpoint: CheckpointReference | None = None
    imported: ImportReference | None = None
    evaluation: dict[str, float]
    versions: dict[str, str]
    files: dict[str, FileEntry]

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if (self.checkpoint is None) == (self.imported is None):
            raise ValueError("a model is made from a checkpoint or imported: one of the two must be there")
        return self


@dataclass(frozen=True)
class ModelArtifact:
    """A model directory that was checked."""

    directory: Path
    manifest: ModelManifest
    preprocessing: Preprocessing
    semantics: Semantics | None = None
    calibration: Calibration | None = None

    @property
    def image_graph(self) -> Path:
        return self.directory / IMAGE_GRAPH

    @property
    def text_graph(self) -> Path:
        return self.directory / TEXT_GRAPH

    @property
    def tokenizer_file(self) -> Path:
        return self.directory / TOKENIZER

    @property
    def global_tokenizer_file(self) -> Path:
        """There where `preprocessing.text_global` is."""
        return self.directory / GLOBAL_TOKENIZER

    @property
    def sentence_graph(self) -> Path:
        """There where `semantics` are."""
        return self.directory / SENTENCE_GRAPH

    @property
    def sentence_tokenizer_file(self) -> Path:
        """There where `semantics` are."""
        return self.directory / SENTENCE_TOKENIZER


def model_id_of(files: Mapping[str, FileEntry]) -> str:
    """First 16 hex digits of the SHA-256 over the sorted lines `name:sha256`: equal bytes are the same model.

    The calibration does not count: it changes no embedding, and an index stays valid with it.
    """
    lines = "".join(f"{name}:{files[name].sha256}\n" for name in sorted(files) if name != CALIBRATION)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def load_model_artifact(directory: Path, *, verify: bool = True) -> ModelArtifact:
    """Read a model directory strictly.

    `verify=False` skips the comparison of sizes and hashes, for a directory that this process has just written.
    Raises ArtifactMissing for a missing or foreign directory or file, and ArtifactCorrupt where the manifest, a file,
    or the model id disagree.
    """
    directory = Path(directory)
    manifest = read_manifest(directory, ModelManifest, expected=_EXPECTED)
    _check_manifest(directory, manifest)
    if verify:
        verify_files(directory, manifest.files)
    preprocessing = parse_json_file(directory / PREPROCESSING, Preprocessing, expected=_EXPECTED)
    _check_image_input(directory, manifest.image_input, preprocessing)
    _check_global_tokenizer(directory, manifest.files, preprocessing)
    semantics = _read_semantics(directory, manifest)
    calibrated = CALIBRATION in manifest.files
    calibration = read_calibration(directory, expected=_EXPECTED) if calibrated else None
    return ModelArtifact(directory, manifest, preprocessing, semantics, calibration)


def write_manifest(
    directory: Path,
    *,
    name: str,
    precision: Precision = "fp32",
    dimension: int,
    image_input: ImageInput,
    image_backbone: str,
    text_backbone: str,
    text_global_backbone: str | None = None,
    semantics: SemanticsReference | None = None,
    checkpoint: CheckpointReference | None = None,
    imported: ImportReference | None = None,
    evaluation: Mapping[str, float],
    preprocessing: Preprocessing,
    versions: Mapping[str, str],
) -> ModelManifest:
    """Write preprocessing.json and manifest.json beside all other files; raises ArtifactMissing for an absent one."""
    _check_image_input(directory, image_input, preprocessing)
    files = _write_preprocessing(directory, preprocessing, fuses=semantics is not None)
    manifest = ModelManifest(
        format=MODEL_FORMAT,
        name=name,
        precision=precision,
        model_id=model_id_of(files),
        created_at=datetime.now(UTC),
        dimension=dimension,
        image_input=image_input,
        image_backbone=image_backbone,
        text_backbone=text_backbone,
        text_global_backbone=text_global_backbone,
        semantics=semantics,
        checkpoint=checkpoint,
        imported=imported,
        evaluation=dict(evaluation),
        versions=dict(versions),
        files=files,
    )
    write_text_atomically(directory / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def write_semantics(directory: Path, semantics: Semantics) -> None:
    """Write semantics.json."""
    write_text_atomically(directory / SEMANTICS, semantics.model_dump_json() + "\n")


def _write_preprocessing(directory: Path, preprocessing: Preprocessing, *, fuses: bool) -> dict[str, FileEntry]:
    """Write preprocessing.json and describe the files of the model.

    `text_global` stands in it only where there is one: a model without it keeps the bytes, and thereby the id, that it
    had before there were two text encoders.
    """
    absent = {"text_global"} if preprocessing.text_global is None else None
    write_text_atomically(directory / PREPROCESSING, preprocessing.model_dump_json(indent=2, exclude=absent) + "\n")
    optional = [file for file in (*OPTIONAL_FILES, *DESCRIBER_FILES, CALIBRATION) if (directory / file).exists()]
    files = describe_files(directory, [*REQUIRED_FILES, *optional, *(SEMANTIC_FILES if fuses else ())])
    _check_global_tokenizer(directory, files, preprocessing)
    return files


def _check_manifest(directory: Path, manifest: ModelManifest) -> None:
    path = directory / MANIFEST
    if absent := sorted(set(REQUIRED_FILES) - set(manifest.files)):
        raise ArtifactCorrupt(
            f"{path.name} does not list {', '.join(absent)}; export the model again", detail=str(path)
        )
    if (expected := model_id_of(manifest.files)) != manifest.model_id:
        raise ArtifactCorrupt(
            f"{path.name} says model_id {manifest.model_id}, but its files make {expected}; export the model again",
            detail=str(path),
        )


def _read_semantics(directory: Path, manifest: ModelManifest) -> Semantics | None:
    """Raises ArtifactCorrupt where manifest, files and dimension do not fit each other."""
    path = directory / MANIFEST
    if manifest.semantics is None:
        return None
    if absent := sorted(set(SEMANTIC_FILES) - set(manifest.files)):
        raise ArtifactCorrupt(
            f"{path.name} names a sentence encoder, but does not list {', '.join(absent)}; export the model again",
            detail=str(path),
        )
    semantics = parse_json_file(directory / SEMANTICS, Semantics, expected=_EXPECTED)
    if len(semantics.missing) != manifest.dimension:
        raise ArtifactCorrupt(
            f"{SEMANTICS} has a missing description of dimension {len(semantics.missing)}, the model has "
            f"{manifest.dimension}; export the model again",
            detail=str(directory / SEMANTICS),
        )
    return semantics


def _check_image_input(directory: Path, image_input: ImageInput, preprocessing: Preprocessing) -> None:
    if (image_input == "pixels") != (preprocessing.image is not None):
        described = "none" if preprocessing.image is None else "some"
        raise ArtifactCorrupt(
            f"the model takes {image_input}, but its image preprocessing is {described}; export it again",
            detail=str(directory),
        )


def _check_global_tokenizer(directory: Path, files: Mapping[str, FileEntry], preprocessing: Preprocessing) -> None:
    if (GLOBAL_TOKENIZER in files) != (preprocessing.text_global is not None):
        described = "none" if preprocessing.text_global is None else "some"
        listed = "is" if GLOBAL_TOKENIZER in files else "is not"
        raise ArtifactCorrupt(
            f"{GLOBAL_TOKENIZER} {listed} there, but the preprocessing of the text's global feature is {described}; "
            "export the model again",
            detail=str(directory),
        )
