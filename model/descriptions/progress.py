"""Progress of a run on the terminal: how much is done, how fast, how long it will take, and what it costs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Advance = Callable[[int, str], object]  # is told how many more are done, and what to show behind the bar
Track = Callable[[str, int], Advance]  # starts a count of so many of this name


class _Rate(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:.1f}/s")


class _Note(ProgressColumn):
    """Rejects and cost, on the line of the bar."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("note", "")), no_wrap=True, overflow="ellipsis")


@contextmanager
def description_progress(console: Console) -> Iterator[Track]:
    """Show a bar for each count that is started."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        _Note(),
    )
    with Progress(*columns, console=console) as progress:

        def track(name: str, total: int) -> Advance:
            task = progress.add_task(name, total=total, note="")
            return lambda count, note: progress.update(task, advance=count, note=note)

        yield track


def untracked(name: str, total: int) -> Advance:  # noqa: ARG001 - the signature is Track's
    """A `Track` that shows nothing."""
    return lambda count, note: None  # noqa: ARG005 - the signature is Advance's
