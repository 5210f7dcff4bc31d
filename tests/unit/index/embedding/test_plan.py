from dataclasses import replace
from pathlib import Path

import pytest

from index.embedding import plan
from index.embedding.encoder import Encoder
from index.embedding.plan import Shard, cut, job_key
from index.sources.records import Caption, Source, SourceRecord
from tests.artifacts import write_colour_model


def records(count: int, captions: int = 1) -> list[SourceRecord]:
    texts = [Caption("x" * (at % 7), f"line {at}") for at in range(captions)]
    return [SourceRecord(f"{at}.jpg", f"id{at}", tuple(texts)) for at in range(count)]


def test_shards_have_a_fixed_number_of_records() -> None:
    whole = records(10)
    shards = list(cut(whole, 4))
    assert [(each.number, each.start, len(each.records)) for each in shards] == [(0, 0, 4), (1, 4, 4), (2, 8, 2)]
    assert [record for each in shards for record in each.records] == whole
    assert list(cut([], 4)) == []
    assert [len(each.records) for each in cut(records(8), 4)] == [4, 4]


def test_many_captions_fill_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "SHARD_CAPTIONS", 10)
    assert [len(each.records) for each in cut(records(9, captions=4), 100)] == [3, 3, 3]
    assert [len(each.records) for each in cut(records(3, captions=50), 100)] == [1, 1, 1]


def test_batches_cover_a_shard_and_texts_of_similar_length_share_one() -> None:
    shard = Shard(0, 0, records(5, captions=7))
    assert shard.image_batches(2) == [range(2), range(2, 4), range(4, 5)]
    batches = shard.text_batches(10)
    assert sorted(place for batch in batches for place in batch) == list(range(35))
    lengths = [len(shard.captions()[place].text) for batch in batches for place in batch]
    assert lengths == sorted(lengths)


def test_a_job_is_named_by_everything_that_its_rows_follow_from(tmp_path: Path) -> None:
    encoder = Encoder(write_colour_model(tmp_path / "model"))
    other = Encoder(write_colour_model(tmp_path / "other", seed=1))
    first, *rest = records(3)
    source = Source(tmp_path, [first, *rest])
    caption = first.captions[0]
    changed = [
        replace(first, uri="x"),
        replace(first, id="x"),
        replace(first, payload={"x": 1}),
        replace(first, captions=()),
        replace(first, captions=(replace(caption, text="y"),)),
        replace(first, captions=(replace(caption, place="line 9"),)),  # rejects name it
        replace(first, captions=(replace(caption, payload={"x": 1}),)),
    ]
    keys = [
        job_key(source, encoder, None, 16, 512),
        job_key(source, other, None, 16, 512),
        job_key(source, encoder, None, 8, 512),
        job_key(source, encoder, None, 16, 256),
        job_key(replace(source, images_root=tmp_path / "x"), encoder, None, 16, 512),
        *(job_key(replace(source, records=[record, *rest]), encoder, None, 16, 512) for record in changed),
    ]
    assert len(set(keys)) == len(keys)
    assert job_key(Source(tmp_path, records(3)), encoder, None, 16, 512) == keys[0]
