"""`scenes.json` against an independent, slow checker."""

from itertools import permutations
from typing import Any

from training.scenes.dataset import SPLIT_CYCLE, describe_dataset, make_scenes

from .checker import MARGIN, caption_holds, outline, relation_holds

Json = dict[str, Any]
RELATIONS = ("left of", "right of", "above", "below", "on", "carries")


def test_holds_lists_exactly_the_images_that_the_checker_finds(images: list[Json], sentences: list[Json]) -> None:
    for sentence in sentences:
        expected = [image["imgid"] for image in images if caption_holds(sentence["claims"], image["facts"])]
        assert sentence["holds"] == expected, sentence["raw"]


def test_every_caption_holds_for_its_own_image(sentences: list[Json]) -> None:
    assert all(sentence["imgid"] in sentence["holds"] for sentence in sentences)


def test_relations_are_complete_and_geometrically_true(images: list[Json]) -> None:
    for image in images:
        groups = image["facts"]["objects"]
        expected = {
            (i, name, j)
            for i, j in permutations(range(len(groups)), 2)
            for name in RELATIONS
            if relation_holds(name, groups[i], groups[j])
        }
        assert {tuple(relation) for relation in image["facts"]["relations"]} == expected


def test_positions_leave_no_doubt(images: list[Json]) -> None:
    """On each axis two groups are apart by the margin or share half of the shorter extent; they never overlap."""
    for image in images:
        groups = image["facts"]["objects"]
        for first, second in permutations(groups, 2):
            if relation_holds("on", first, second) or relation_holds("carries", first, second):
                continue
            a, b = outline(first["boxes"]), outline(second["boxes"])
            gaps = []
            for low, high in ((0, 2), (1, 3)):
                gap = max(a[low], b[low]) - min(a[high], b[high])
                shorter = min(a[high] - a[low], b[high] - b[low])
                assert gap >= MARGIN or -gap >= shorter / 2
                gaps.append(gap)
            assert max(gaps) >= MARGIN


def test_objects_are_inside_the_image_and_apart(images: list[Json]) -> None:
    for image in images:
        for group in image["facts"]["objects"]:
            assert group["count"] == len(group["boxes"])
            for left, top, right, bottom in group["boxes"]:
                assert 0 <= left < right <= 224
                assert 0 <= top < bottom <= 224
            for a, b in permutations(group["boxes"], 2):
                assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_sizes_can_be_told_apart(images: list[Json]) -> None:
    extents: dict[str, list[float]] = {"small": [], "medium": [], "large": []}
    for image in images:
        for group in image["facts"]["objects"]:
            extents[group["size"]] += [((b[2] - b[0]) * (b[3] - b[1])) ** 0.5 for b in group["boxes"]]
    assert max(extents["small"]) * 1.3 < min(extents["medium"])
    assert max(extents["medium"]) * 1.3 < min(extents["large"])


def test_groups_of_an_image_differ_in_kind_and_colour(images: list[Json]) -> None:
    for image in images:
        groups = image["facts"]["objects"]
        assert len({group["kind"] for group in groups}) == len(groups)
        assert len({group["colour"] for group in groups}) == len(groups)


def test_soft_negatives_have_the_same_kinds_and_are_false(images: list[Json], sentences: list[Json]) -> None:
    for sentence in sentences:
        own = images[sentence["imgid"]]
        for negative in sentence["soft_negatives"]:
            other = images[negative["imgid"]]
            assert sorted(o["kind"] for o in other["facts"]["objects"]) == sorted(
                o["kind"] for o in own["facts"]["objects"]
            )
            assert not caption_holds(sentence["claims"], other["facts"])
            anywhere = {**sentence["claims"], "relations": []}
            assert negative["swap"] == ("relation" if caption_holds(anywhere, other["facts"]) else "attribute")


def test_most_captions_have_a_soft_negative_and_both_swaps_occur(sentences: list[Json]) -> None:
    swaps = [{negative["swap"] for negative in sentence["soft_negatives"]} for sentence in sentences]
    assert sum(bool(found) for found in swaps) / len(swaps) > 0.85
    assert sum("attribute" in found for found in swaps) / len(swaps) > 0.8
    assert sum("relation" in found for found in swaps) / len(swaps) > 0.1


def test_soft_positives_exist(sentences: list[Json]) -> None:
    assert sum(len(sentence["holds"]) > 1 for sentence in sentences) / len(sentences) > 0.4


def test_the_vocabulary_is_used(images: list[Json]) -> None:
    groups = [group for image in images for group in image["facts"]["objects"]]
    assert len({group["kind"] for group in groups}) >= 12
    assert len({group["colour"] for group in groups}) >= 7
    assert {group["size"] for group in groups} == {"small", "medium", "large"}
    assert {group["count"] for group in groups} == {1, 2, 3, 4}
    assert {image["facts"]["time"] for image in images} == {"day", "night"}
    assert {image["facts"]["place"] for image in images} == {"meadow", "beach", "snow", "street", "desert", "sea"}
    assert {name for image in images for _, name, _ in image["facts"]["relations"]} == set(RELATIONS)


def test_families_do_not_cross_splits_and_shares_are_about_80_10_10(images: list[Json]) -> None:
    splits: dict[int, set[str]] = {}
    for image in images:
        splits.setdefault(image["family"], set()).add(image["split"])
    assert all(len(found) == 1 for found in splits.values())
    shares = {name: sum(image["split"] == name for image in images) for name in ("train", "val", "test")}
    assert shares == {"train": 160, "val": 20, "test": 20}
    assert len(SPLIT_CYCLE) == 10


def test_ids_are_karpathys(images: list[Json], sentences: list[Json]) -> None:
    assert [image["imgid"] for image in images] == list(range(len(images)))
    assert [sentence["sentid"] for sentence in sentences] == list(range(len(sentences)))
    for image in images:
        assert image["sentids"] == [sentence["sentid"] for sentence in image["sentences"]]
        assert {sentence["imgid"] for sentence in image["sentences"]} == {image["imgid"]}
        assert len({sentence["raw"] for sentence in image["sentences"]}) == 5


def test_a_larger_count_continues_the_same_images() -> None:
    few, many = make_scenes(9, seed=3), make_scenes(14, seed=3)
    assert many[:9] == few


def test_a_lone_image_has_captions_but_no_soft_negative() -> None:
    (image,) = describe_dataset(make_scenes(1, seed=0), seed=0)["images"]
    assert len(image["sentences"]) == 5
    assert all(sentence["holds"] == [0] and not sentence["soft_negatives"] for sentence in image["sentences"])
