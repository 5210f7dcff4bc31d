import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.embedding import Settings, embed_source
from index.embedding.encoder import Encoder
from index.items import Modality
from index.known import KnownRows, text_digest
from index.pending import PendingVersion
from index.sources import Source, read_source
from model.artifact import ModelArtifact
from tests.artifacts import write_colour_model
from tests.embedded import SHARD, contents, write_source

SETTINGS = Settings(shard_records=SHARD, workers=2)


@pytest.fixture
def model(tmp_path: Path) -> ModelArtifact:
    return write_colour_model(tmp_path / "model")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return write_source(tmp_path / "images", 20)


@pytest.fixture
def earlier(model: ModelArtifact, source: Source, tmp_path: Path) -> PendingVersion:
    return embed_source(source, model, tmp_path / "earlier", SETTINGS)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many images and texts are encoded."""
    counts = {"images": 0, "texts": 0}
    for name in counts:
        encode = getattr(Encoder, name)

        def counting(self, items, *more, name=name, encode=encode):  # type: ignore[no-untyped-def]
            counts[name] += len(items)
            return encode(self, items, *more)

        monkeypatch.setattr(Encoder, name, counting)
    return counts


def known_of(pending: PendingVersion, model: ModelArtifact) -> KnownRows:
    return KnownRows(model.manifest.model_id, "version 1", pending.rows)


def test_rows_are_found_by_what_was_embedded(earlier: PendingVersion, model: ModelArtifact, source: Source) -> None:
    known = known_of(earlier, model)
    for modality, column in ((Modality.IMAGE, "fingerprint"), (Modality.TEXT, "caption")):
        rows = earlier.rows[modality]
        values = rows.metadata.column(column).to_pylist()
        digests = [text_digest(value) if isinstance(value, str) else value for value in values]
        found, vectors = known(modality, [bytes(32), *digests, b"x" * 32])
        assert found.tolist() == [False] + [True] * len(digests) + [False]
        np.testing.assert_array_equal(vectors, rows.vectors)
    data = (source.images_root / "00000.png").read_bytes()
    assert known(Modality.IMAGE, [hashlib.sha256(data).digest()])[0].tolist() == [True]
    assert known(Modality.TEXT, [bytes(32)])[1].shape[0] == 0
    assert KnownRows("x", "y", {})(Modality.TEXT, [bytes(32)])[0].tolist() == [False]


def test_what_has_not_changed_is_not_embedded_again(
    earlier: PendingVersion, model: ModelArtifact, source: Source, tmp_path: Path, encoded: dict[str, int]
) -> None:
    root = source.images_root
    again = embed_source(source, model, tmp_path / "again", SETTINGS, known=known_of(earlier, model))
    assert contents(again) == contents(earlier)
    of_rejects = 2 * 2  # they are encoded beside their images, and thrown away with them
    assert encoded == {"images": 0, "texts": of_rejects}
    (root / "00000.png").rename(root / "renamed.png")  # known by its bytes
    (root / "00005.png").write_bytes((root / "00006.png").read_bytes())
    captions = root / "captions.csv"
    captions.write_text(captions.read_text().replace("00000.png", "renamed.png") + "00002.png,a new caption,val\n")
    Image.new("RGB", (9, 7), "red").save(root / "00007.png")
    changed = read_source(root, captions=captions)
    embed_source(changed, model, tmp_path / "changed", SETTINGS, known=known_of(earlier, model))
    assert encoded == {"images": 1, "texts": 2 * of_rejects + 1}


def test_embeddings_of_another_model_are_not_used(
    earlier: PendingVersion, model: ModelArtifact, source: Source, tmp_path: Path, encoded: dict[str, int]
) -> None:
    other = write_colour_model(tmp_path / "other", seed=1)
    found = embed_source(source, other, tmp_path / "work", SETTINGS, known=known_of(earlier, model))
    assert encoded["images"] == len(found.rows[Modality.IMAGE])
    plain = embed_source(source, other, tmp_path / "plain", SETTINGS)
    assert contents(found) == contents(plain)


def test_an_interrupted_run_is_not_gone_on_with_under_other_knowledge(
    earlier: PendingVersion, model: ModelArtifact, source: Source, tmp_path: Path, encoded: dict[str, int]
) -> None:
    embed_source(source, model, tmp_path / "work", SETTINGS)
    before = encoded["images"]
    embed_source(source, model, tmp_path / "work", SETTINGS, known=known_of(earlier, model))
    embed_source(source, model, tmp_path / "work", SETTINGS)
    assert encoded["images"] == 2 * before
