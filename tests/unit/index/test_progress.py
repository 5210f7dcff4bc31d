from io import StringIO

from rich.console import Console

from index.progress import embedding_progress


def test_every_kind_of_item_has_a_line_with_its_count_and_rate() -> None:
    screen = StringIO()
    with embedding_progress(Console(file=screen, width=100)) as track:
        images, captions = track("images", 4), track("captions", 0)
        images(3)
        images(1)
        captions(0)
    shown = screen.getvalue()
    assert "images" in shown
    assert "4/4" in shown
    assert "0/0" in shown
    assert "/s" in shown
