"""Five different true captions for any scene, in several forms."""

from random import Random

from training.scenes.captions import CAPTIONS_PER_IMAGE, captions_of
from training.scenes.families import family


def test_captions_are_true_different_and_of_several_forms() -> None:
    for seed in range(40):
        for facts, _ in family(Random(seed)):
            captions = captions_of(facts, Random(seed))
            assert len({caption.text for caption in captions}) == CAPTIONS_PER_IMAGE
            assert all(caption.claims.hold_for(facts) for caption in captions)
            if len(facts.groups) > 1:
                assert captions[0].claims.relations
                assert len(captions[1].claims.groups) > 1
                assert len(captions[2].claims.groups) == 1


def test_what_stands_on_another_thing_is_said_to_be_on_it() -> None:
    for seed in range(200):
        for facts, _ in family(Random(seed)):
            if any(relation.name == "on" for relation in facts.relations):
                pair = {0, 1}
                for caption in captions_of(facts, Random(seed)):
                    named = {facts.groups[i].kind for i in pair} == {group.kind for group in caption.claims.groups}
                    if named and caption.claims.relations:
                        assert caption.claims.relations[0].name == "on"
