"""Which sentence embedding an image or caption gets, and what is missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.config import SemanticsConfig
from model.descriptions import Description, DescriptionFile, Source
from model.errors import DataError
from model.nn.semantic import SemanticFusion
from training.data import described as describing
from training.data.dataset import ImageTextDataset
from training.data.described import names_below, semantic_table
from training.data.semantics import MISSING, SemanticTable, join_semantics

FOLDER = Path("/photographs")
WIDTH = 32
CAPTIONS = ("a dog", "a brown dog", "a cat", "two men", "men walking")
BACKBONE = object()


def dataset() -> ImageTextDataset:
    return ImageTextDataset(
        name="photographs train",
        image_paths=(FOLDER / "a.jpg", FOLDER / "sub" / "b.jpg", FOLDER / "c.jpg"),
        image_ids=np.array([5, 6, 7]),
        captions=CAPTIONS,
        caption_ids=np.array([50, 51, 60, 70, 71]),
        image_of_caption=np.array([0, 0, 1, 2, 2]),
    )


def described(**texts: str) -> DescriptionFile:
    """Texts by the path of the image, with `__id` behind it for a caption; `_` stands for a slash."""
    lines = []
    for key, text in texts.items():
        image, _, caption = key.partition("__")
        lines.append(
            Description(
                image=image.replace("_", "/") + ".jpg",
                caption_id=int(caption) if caption else None,
                text=text,
                image_sha256="0" * 64,
                describer="tags",
                prompt_hash="0" * 16,
            )
        )
    return DescriptionFile(Path("d.jsonl"), Source("tags", "0" * 16), tuple(lines))


def vector(text: str) -> NDArray[np.float32]:
    """A unit vector of its own for each text."""
    found = np.random.default_rng(sum(map(ord, text))).normal(size=WIDTH).astype(np.float32)
    return found / np.linalg.norm(found)


@pytest.fixture(autouse=True)
def sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence encoder of these tests."""

    def embed(texts: list[str], *_: object) -> NDArray[np.float32]:
        return np.stack([vector(text) for text in texts]) if texts else np.empty((0, WIDTH), np.float32)

    monkeypatch.setattr(describing, "embed_sentences", embed)


def table(file: DescriptionFile | None) -> SemanticTable:
    return semantic_table(dataset(), FOLDER, file, BACKBONE, Path("cache"))  # type: ignore[arg-type]


def test_images_are_found_by_their_path_below_the_folder() -> None:
    found = table(described(a="A.", sub_b="B.", other="not of this split"))
    assert len(found.descriptions) == 2
    np.testing.assert_array_equal(found.descriptions[found.of_image[0]], vector("A."))
    np.testing.assert_array_equal(found.descriptions[found.of_image[1]], vector("B."))
    assert found.of_image[2] == MISSING
    assert found.of_caption.tolist() == [*found.of_image[[0, 0, 1]], MISSING, MISSING]
    np.testing.assert_array_equal(found.captions, [vector(caption) for caption in CAPTIONS])


def test_a_caption_may_have_a_description_of_its_own() -> None:
    found = table(described(a="A.", a__51="B.", c__70="C.", c__71="D."))
    rows = found.descriptions[found.of_caption[[0, 1, 3, 4]]]
    np.testing.assert_array_equal(rows, [vector(text) for text in ("A.", "B.", "C.", "D.")])
    np.testing.assert_array_equal(found.descriptions[found.of_image[0]], vector("A."))
    mean = vector("C.") + vector("D.")
    np.testing.assert_allclose(found.descriptions[found.of_image[2]], mean / np.linalg.norm(mean), rtol=1e-5)


def test_without_a_file_all_descriptions_are_missing_and_captions_are_not() -> None:
    found = table(None)
    assert found.of_image.tolist() == [MISSING] * 3
    assert found.of_caption.tolist() == [MISSING] * 5
    assert found.captions.shape == (5, WIDTH)


def test_a_file_about_other_images_is_refused() -> None:
    with pytest.raises(DataError, match=r"d\.jsonl describes no image of photographs train"):
        table(described(z="Z."))


def test_joined_tables_keep_their_rows_apart() -> None:
    first, second = table(described(a="A.")), table(described(sub_b="B.", c__71="C."))
    joined = join_semantics([first, table(None), second])
    names = [None if row == MISSING else joined.descriptions[row] for row in joined.of_image]
    assert [name is None for name in names] == [False, True, True, True, True, True, True, False, False]
    np.testing.assert_array_equal(names[0], vector("A."))
    np.testing.assert_array_equal(names[7], vector("B."))
    np.testing.assert_array_equal(joined.descriptions[joined.of_caption[-1]], vector("C."))
    assert joined.captions.shape == (15, WIDTH)


def placed(file: DescriptionFile | None) -> tuple[SemanticTable, SemanticFusion]:
    fusion = SemanticFusion(SemanticsConfig(), WIDTH, WIDTH)
    fusion.missing.copy_(torch.randn(WIDTH))
    return table(file).placed(fusion), fusion


def test_what_is_missing_is_the_network_s_missing_description() -> None:
    found, fusion = placed(described(a="A."))
    missing = fusion.missing.numpy()
    np.testing.assert_allclose(found.of_images, [vector("A."), missing, missing], rtol=1e-6)
    nothing, fusion = placed(None)
    np.testing.assert_allclose(nothing.of_images, np.tile(fusion.missing.numpy(), (3, 1)), rtol=1e-6)


def test_a_batch_takes_the_description_of_the_caption_that_was_drawn() -> None:
    found, _ = placed(described(a="A.", a__51="B.", sub_b="C."))
    batch = found.batch(np.array([1, 2]), described_by=np.array([1, 2]))
    np.testing.assert_allclose(batch.images.numpy(), [vector("B."), vector("C.")], rtol=1e-6)
    np.testing.assert_allclose(batch.texts.numpy(), [vector(CAPTIONS[1]), vector(CAPTIONS[2])], rtol=1e-6)


def test_some_descriptions_are_dropped_and_no_caption() -> None:
    found, fusion = placed(described(a="A.", sub_b="B.", c="C."))
    rows = np.zeros(4000, np.int64)
    batch = found.batch(rows, described_by=rows)
    torch.manual_seed(0)
    some = found.without_some(batch, 0.25)
    dropped = (some.images == fusion.missing).all(dim=1)
    assert 0.22 < dropped.float().mean() < 0.28
    assert torch.equal(some.images[~dropped], batch.images[~dropped])
    assert torch.equal(some.texts, batch.texts)
    assert found.without_some(batch, 0.0) is batch


def test_names_are_those_of_the_file() -> None:
    assert names_below(FOLDER, dataset().image_paths) == ["a.jpg", "sub/b.jpg", "c.jpg"]
    assert names_below(Path("/elsewhere"), [Path("train-0")]) == ["train-0"]
