from pathlib import Path

import pytest
from pydantic import ValidationError

from index.manifest import IndexManifest
from tests.unit.index.drafts import make_draft, publish_draft


@pytest.fixture
def manifest(tmp_path: Path) -> IndexManifest:
    return publish_draft(tmp_path / "index", make_draft(tmp_path)).manifest


def test_the_index_id_is_that_of_the_contents(manifest: IndexManifest, tmp_path: Path) -> None:
    same = publish_draft(tmp_path / "elsewhere", make_draft(tmp_path)).manifest
    other = publish_draft(tmp_path / "elsewhere", make_draft(tmp_path, seed=5)).manifest
    foreign = manifest.model_copy(update={"model": manifest.model.model_copy(update={"model_id": "f" * 16})})
    assert len(manifest.index_id) == 16
    assert same.index_id == manifest.index_id
    assert len({manifest.index_id, other.index_id, foreign.index_id}) == 3


def test_a_manifest_survives_json(manifest: IndexManifest) -> None:
    assert IndexManifest.model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.parametrize(
    "change", [{"version": "../1"}, {"format": "aahr-index/2"}, {"engines": {"image": "magic"}}, {"surprise": 1}]
)
def test_a_foreign_manifest_is_refused(manifest: IndexManifest, change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IndexManifest.model_validate({**manifest.model_dump(), **change})
