"""Images are embedded with their descriptions, given or made, and again whenever those change."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from index.embedding import Settings, embed_source
from index.embedding import pipeline as pipeline_module
from index.embedding.encoder import Encoder
from index.embedding.plan import job_key
from index.items import Modality
from index.known import KnownRows
from index.pending import PendingVersion
from index.sources import Source, read_source
from index.sources.descriptions import described
from index.sources.records import GivenDescription, RegionFeatures, SourceRecord
from model.artifact import ModelArtifact
from model.datasets.scan import RegionArrays
from model.descriptions import Source as Describing
from model.errors import UnsupportedQuery
from model.preprocess import MAX_TEXT_CHARACTERS, decode_image
from model.runtime import Runtime
from tests.artifacts import COLOURS, write_colour_model, write_region_model
from tests.described import REFERENCE, SOURCE, ColourDescriber, nearest_colour, write_descriptions, write_fusing_model
from tests.embedded import SHARD, contents, uris, write_source

SETTINGS = Settings(workers=2, shard_records=SHARD, batch=3)
COUNT = 30
IMAGE, TEXT = Modality.IMAGE, Modality.TEXT


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelArtifact:
    return write_fusing_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def plain(tmp_path: Path) -> Source:
    return write_source(tmp_path / "images", COUNT)


@pytest.fixture
def source(plain: Source, model: ModelArtifact, tmp_path: Path) -> Source:
    """Two images of three are described, each by another colour than the one before."""
    texts = {
        record.uri: f"a {COLOURS[at % len(COLOURS)]} square {'and a dog ' * (at % 4)}".strip()
        for at, record in enumerate(plain.records)
        if at % 3
    }
    file = write_descriptions(tmp_path / "descriptions.jsonl", plain.images_root, texts)
    return described(plain, file, model.manifest)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The descriptions of the images that are encoded."""
    seen: list[str | None] = []
    encode = Encoder.images

    def noting(self: Encoder, pixels: Sequence[object], descriptions: Sequence[str | None]) -> object:
        seen.extend(descriptions)
        return encode(self, pixels, descriptions)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoder, "images", noting)
    return seen


def words(pending: PendingVersion) -> dict[str, str | None]:
    """The descriptions of the images, by their uris."""
    table = pending.rows[IMAGE].metadata
    return dict(zip(table["uri"].to_pylist(), table["description"].to_pylist(), strict=True))


def known_of(pending: PendingVersion) -> KnownRows:
    return KnownRows(pending.model.model_id, "version 1", pending.rows)


def with_words(source: Source, at: int, text: str) -> Source:
    """The source with another description of the same file."""
    records = list(source.records)
    assert records[at].description is not None
    records[at] = replace(records[at], description=records[at].description._replace(text=text))  # type: ignore[union-attr]
    return replace(source, records=records)


def test_rows_are_those_of_one_image_with_its_description_after_the_other(
    model: ModelArtifact, source: Source, tmp_path: Path
) -> None:
    pending = embed_source(source, model, tmp_path / "work", SETTINGS)
    given = {record.uri: record.description and record.description.text for record in source.records}
    assert words(pending) == {uri: given[uri] for uri in uris(pending)}
    assert 5 < pending.rows[IMAGE].metadata["description"].null_count < 15
    assert pending.rows[TEXT].metadata["description"].null_count == len(pending.rows[TEXT])
    decoded = [decode_image(source.images_root / uri) for uri in uris(pending)]
    captions = pending.rows[TEXT].metadata["caption"].to_pylist()
    with Runtime.load(model, workers=1) as runtime:
        expected = runtime.encode_images(decoded, [given[uri] for uri in uris(pending)])
        without = runtime.encode_images(decoded)
        np.testing.assert_allclose(pending.rows[TEXT].vectors, runtime.encode_texts(captions), atol=1e-6)
    np.testing.assert_allclose(pending.rows[IMAGE].vectors, expected, atol=1e-6)
    described_rows = [given[uri] is not None for uri in uris(pending)]
    changed = np.abs(pending.rows[IMAGE].vectors - without).max(axis=1) > 1e-3
    assert changed.tolist() == described_rows


@pytest.mark.parametrize("make", [lambda: None, ColourDescriber])
def test_the_number_of_workers_changes_nothing(
    make: Callable[[], ColourDescriber | None], model: ModelArtifact, source: Source, tmp_path: Path
) -> None:
    found = []
    for workers in (1, 2, 7):
        settings = replace(SETTINGS, workers=workers)
        found.append(contents(embed_source(source, model, tmp_path / str(workers), settings, describer=make())))
    assert found[0] == found[1] == found[2]


class Killed(BaseException):
    """Ends a run as SIGKILL does."""


@pytest.mark.parametrize("make", [lambda: None, ColourDescriber])
@pytest.mark.parametrize("kept", [1, 3])
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    make: Callable[[], ColourDescriber | None],
    kept: int,
    model: ModelArtifact,
    source: Source,
    tmp_path: Path,
    encoded: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = contents(embed_source(source, model, tmp_path / "whole", SETTINGS, describer=make()))
    all_encoded = len(encoded)
    check = pipeline_module._Run._check_rejects

    def stop(run, done):  # type: ignore[no-untyped-def]
        check(run, done)
        if len(done) == kept:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(pipeline_module._Run, "_check_rejects", stop)
        with pytest.raises(Killed):
            embed_source(source, model, tmp_path / "work", SETTINGS, describer=make())
    encoded.clear()
    assert contents(embed_source(source, model, tmp_path / "work", SETTINGS, describer=make())) == whole
    assert 0 < len(encoded) < all_encoded


def test_an_image_is_embedded_again_exactly_when_its_description_has_changed(
    model: ModelArtifact, source: Source, plain: Source, tmp_path: Path, encoded: list[str | None]
) -> None:
    earlier = embed_source(source, model, tmp_path / "earlier", SETTINGS)
    encoded.clear()
    again = embed_source(source, model, tmp_path / "again", SETTINGS, known=known_of(earlier))
    assert (encoded, contents(again)) == ([], contents(earlier))
    changed = with_words(source, 4, "an orange cat")
    found = embed_source(changed, model, tmp_path / "changed", SETTINGS, known=known_of(earlier))
    assert encoded == ["an orange cat"]
    assert words(found) == {**words(earlier), "00004.png": "an orange cat"}
    fresh = embed_source(changed, model, tmp_path / "fresh", SETTINGS)
    np.testing.assert_allclose(found.rows[IMAGE].vectors, fresh.rows[IMAGE].vectors, atol=1e-6)
    encoded.clear()
    embed_source(plain, model, tmp_path / "plain", SETTINGS, known=known_of(earlier))
    assert encoded == [None] * sum(text is not None for text in words(earlier).values())


def test_a_known_image_is_described_anew_and_embedded_where_that_says_something_else(
    model: ModelArtifact, plain: Source, tmp_path: Path, encoded: list[str | None]
) -> None:
    earlier = embed_source(plain, model, tmp_path / "earlier", SETTINGS, describer=ColourDescriber())
    encoded.clear()
    again = ColourDescriber(["00005.png"])
    found = embed_source(plain, model, tmp_path / "again", SETTINGS, known=known_of(earlier), describer=again)
    assert encoded == [None]
    assert words(found) == {**words(earlier), "00005.png": None}
    assert sum(map(len, again.batches)) == len(uris(earlier))
    # That it was embedded without a description before is no reason to leave it at that.
    undescribed = embed_source(plain, model, tmp_path / "undescribed", SETTINGS)
    found = embed_source(
        plain, model, tmp_path / "now", SETTINGS, known=known_of(undescribed), describer=ColourDescriber()
    )
    assert words(found) == words(earlier)


def test_a_describer_sees_each_image_once_in_the_batches_of_the_plan(
    model: ModelArtifact, plain: Source, tmp_path: Path
) -> None:
    Image.new("RGB", (400, 300), "red").save(plain.images_root / "00000.png")
    describer = ColourDescriber(["00007.png"], at_least=20)
    pending = embed_source(plain, model, tmp_path / "work", SETTINGS, describer=describer)
    seen = {subject.name: subject for batch in describer.batches for subject in batch}
    assert sorted(seen) == uris(pending)
    assert all(len(batch) <= 3 for batch in describer.batches)
    assert min(seen["00000.png"].image.size) in range(20, 61)  # without pixels that nobody looks at
    expected = {name: f"a {nearest_colour(subject.image)} square" for name, subject in seen.items()}
    assert words(pending) == {**expected, "00007.png": None}
    with Runtime.load(model, workers=1) as runtime:
        decoded = [decode_image(plain.images_root / uri) for uri in uris(pending)]
        vectors = runtime.encode_images(decoded, list(words(pending).values()))
    np.testing.assert_allclose(pending.rows[IMAGE].vectors, vectors, atol=1e-6)


def test_what_cannot_be_embedded_is_missing_and_costs_no_other(
    model: ModelArtifact, source: Source, tmp_path: Path
) -> None:
    odd = with_words(source, 1, "\0 \t")
    odd = with_words(odd, 2, "x" * (MAX_TEXT_CHARACTERS + 1))
    odd = with_words(odd, 4, " a\0 dog ")
    before, after = (
        embed_source(each, model, tmp_path / name, SETTINGS) for each, name in ((source, "before"), (odd, "after"))
    )
    said = {"00001.png": None, "00002.png": None, "00004.png": "a dog"}
    assert words(after) == {**words(before), **said}
    assert after.stale == 0


def test_a_file_that_has_changed_since_it_was_described_counts_as_without_description(
    model: ModelArtifact, source: Source, tmp_path: Path
) -> None:
    before = embed_source(source, model, tmp_path / "work", SETTINGS)
    for uri in ("00001.png", "00006.png", "00008.png"):  # the second is not described
        Image.new("RGB", (9, 7), "red").save(source.images_root / uri)
    after = embed_source(source, model, tmp_path / "work", SETTINGS)
    assert words(after) == {**words(before), "00001.png": None, "00008.png": None}
    assert (before.stale, after.stale) == (0, 2)
    assert embed_source(source, model, tmp_path / "work", SETTINGS).stale == 2  # of shards that were there


def test_models_without_semantics_take_no_descriptions(plain: Source, source: Source, tmp_path: Path) -> None:
    bare = write_colour_model(tmp_path / "bare")
    for given, describer in ((source, None), (plain, ColourDescriber())):
        with pytest.raises(UnsupportedQuery, match="colours fuses no semantics: leave out"):
            embed_source(given, bare, tmp_path / "work", SETTINGS, describer=describer)
    assert set(words(embed_source(plain, bare, tmp_path / "work", SETTINGS)).values()) == {None}


def test_regions_have_the_descriptions_that_were_given(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    values = generator.uniform(-1, 1, (9, 5, 3)).astype(np.float16)
    whole = generator.uniform(-1, 1, (9, 3)).astype(np.float32)
    given = [GivenDescription(f"a {colour} square", bytes(32)) if at % 2 else None for at, colour in enumerate(COLOURS)]
    records = [SourceRecord(f"{at}", f"id{at}", description=given[at]) for at in range(9)]
    features = RegionFeatures(RegionArrays(values, np.arange(9)), whole, "s")
    artifact = write_region_model(tmp_path / "regions", semantics=REFERENCE)
    source = Source(tmp_path, records, regions=features)
    pending = embed_source(source, artifact, tmp_path / "work", SETTINGS)
    assert list(words(pending).values()) == [each and each.text for each in given[:9]]
    with Runtime.load(artifact, workers=1) as runtime:
        semantics = runtime.encode_descriptions([each and each.text for each in given[:9]])
        expected = runtime.encode_regions(values.astype(np.float32), np.ones((9, 5), np.bool_), whole, semantics)
    np.testing.assert_allclose(pending.rows[IMAGE].vectors, expected, atol=1e-6)
    with pytest.raises(UnsupportedQuery, match="tags describes images, not precomputed regions"):
        embed_source(source, artifact, tmp_path / "work", SETTINGS, describer=ColourDescriber())


def test_a_job_is_named_by_descriptions_and_describer(model: ModelArtifact, source: Source, plain: Source) -> None:
    encoder = Encoder(model)
    records = list(source.records)
    given = records[1].description
    assert given is not None
    records[1] = replace(records[1], description=given._replace(image_sha256=bytes(32)))
    sources = [source, plain, with_words(source, 1, "other"), replace(source, records=records)]
    keys = [job_key(each, encoder, None, 16, 512) for each in sources]
    other = Describing(SOURCE.describer, "e" * 16)
    describers = [ColourDescriber(), ColourDescriber(source=other), ColourDescriber(at_least=5)]
    keys += [job_key(plain, encoder, None, 16, 512, describer) for describer in describers]
    assert len(set(keys)) == len(keys)
    assert job_key(plain, encoder, None, 16, 512, ColourDescriber()) == keys[4]
    assert read_source(source.images_root).records[0].description is None
