from index.captioned_items import image_items, text_items
from index.captions.records import Caption, CaptionedImage
from index.items import image_item_id, text_item_id


def captioned(uri: str, *texts: str, **payload: object) -> CaptionedImage:
    captions = tuple(Caption(text, f"line {at}", {"at": at}) for at, text in enumerate(texts, start=2))
    return CaptionedImage((uri,), captions, "line 2", payload)


def test_captions_become_items_in_the_order_of_the_pictures() -> None:
    by_uri = {"b.jpg": captioned("b.jpg", "two", "three"), "a.jpg": captioned("a.jpg", " one\0 ")}
    items, rejects = text_items(["a.jpg", "b.jpg", "c.jpg"], by_uri)
    assert [(item.uri, item.caption, item.payload) for item in items] == [
        ("a.jpg", "one", {"at": 2}),
        ("b.jpg", "two", {"at": 2}),
        ("b.jpg", "three", {"at": 3}),
    ]
    assert rejects == []


def test_equal_captions_of_one_picture_have_ids_of_their_own() -> None:
    items, _ = text_items(["a.jpg"], {"a.jpg": captioned("a.jpg", "a dog", "a dog ", "a cat")})
    assert [item.id for item in items] == [
        text_item_id("a.jpg", "a dog", 0),
        text_item_id("a.jpg", "a dog", 1),
        text_item_id("a.jpg", "a cat", 0),
    ]


def test_empty_and_long_captions_are_rejects_with_their_place() -> None:
    items, rejects = text_items(["a.jpg"], {"a.jpg": captioned("a.jpg", " \0", "x" * 10_001, "good")})
    assert [item.caption for item in items] == ["good"]
    assert [(reject.uri, reject.code) for reject in rejects] == [("a.jpg", "empty_text"), ("a.jpg", "text_too_long")]
    assert [reject.reason.split(":")[0] for reject in rejects] == ["line 2", "line 3"]


def test_pictures_carry_their_payload_and_first_good_caption() -> None:
    by_uri = {"a.jpg": captioned("a.jpg", "", "second", "third", split="val")}
    texts, _ = text_items(["a.jpg", "b.jpg"], by_uri)
    first, second = image_items(["a.jpg", "b.jpg"], by_uri, texts)
    assert (first.id, first.caption, first.payload) == (image_item_id("a.jpg"), "second", {"split": "val"})
    assert (second.id, second.caption, second.payload) == (image_item_id("b.jpg"), None, {})
