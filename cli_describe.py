"""The command `aahr describe`: images into words, one line of a file each."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from model.errors import ConfigError

if TYPE_CHECKING:
    from model.descriptions import Describer
    from model.descriptions.usage import Meter
    from model.descriptions.writing import Selection


class With(StrEnum):
    """The describers."""

    OPENAI = "openai"
    TAGS = "tags"
    NEIGHBOURS = "neighbours"


Images = Annotated[Path, typer.Option(help="Folder of images, with its sub-folders.")]
WithOption = Annotated[
    With,
    typer.Option(
        "--with",
        help="openai: a server with OpenAI's chat completions and a model. Offline: tags, ImageNet's classes and "
        "colours; neighbours, what was written of training images like it.",
    ),
]
Out = Annotated[Path, typer.Option(help="File to write, such as descriptions.jsonl; one that is there is added to.")]
Data = Annotated[Path | None, typer.Option(help="Karpathy JSON: only its images, in place of all in the folder.")]
Split = Annotated[str | None, typer.Option(help="Of --data: train, val or test; default: all.")]
Per = Annotated[Literal["image", "caption"], typer.Option(help="One description for each.")]
ReferenceCaptions = Annotated[
    bool, typer.Option("--reference-captions", help="Put the captions of --data into the prompts; --split train only.")
]
Jobs = Annotated[int, typer.Option(min=1, max=256, help="Images under way at the same time.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Discard what is in --out and describe all anew.")]
DescriberFolder = Annotated[
    Path | None,
    typer.Option(
        "--describer",
        help="neighbours: folder of `aahr data neighbours`, or a model with one. tags: a model with one; default: made "
        "from the pretrained weights.",
    ),
]
Endpoint = Annotated[str | None, typer.Option(help="openai: URL of the server, such as http://localhost:8000/v1.")]
Model = Annotated[str | None, typer.Option(help="openai: name of the model on the server.")]
KeyVariable = Annotated[
    str | None, typer.Option("--key-env", help="openai: variable that holds the API key; default: OPENAI_API_KEY.")
]
Temperature = Annotated[float, typer.Option(min=0, max=2, help="openai: 0 takes the likeliest words.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="openai: tokens of an answer; a longer one is rejected.")]
ImageSide = Annotated[int, typer.Option(min=32, max=4096, help="openai: longest side that is sent, in pixels.")]
Timeout = Annotated[float, typer.Option(min=0.01, help="openai: seconds for one request.")]
Deadline = Annotated[float, typer.Option(min=0.01, help="openai: seconds for one image with all tries.")]
PromptPrice = Annotated[float | None, typer.Option(min=0, help="openai: price of a million tokens sent.")]
CompletionPrice = Annotated[float | None, typer.Option(min=0, help="openai: price of a million tokens answered.")]


@dataclass(frozen=True)
class DescriberOptions:
    """What the describers are made from; each takes what it needs and refuses what it lacks."""

    reference_captions: bool
    folder: Path | None
    endpoint: str | None
    model: str | None
    key_variable: str | None
    temperature: float
    max_tokens: int
    image_side: int
    timeout_s: float
    deadline_s: float


def describe(
    images: Images,
    with_: WithOption,
    out: Out,
    data: Data = None,
    split: Split = None,
    per: Per = "image",
    reference_captions: ReferenceCaptions = False,
    jobs: Jobs = 8,
    overwrite: Overwrite = False,
    describer: DescriberFolder = None,
    endpoint: Endpoint = None,
    model: Model = None,
    key_env: KeyVariable = None,
    temperature: Temperature = 0.0,
    max_tokens: MaxTokens = 300,
    image_side: ImageSide = 768,
    timeout: Timeout = 60.0,
    deadline: Deadline = 180.0,
    prompt_price: PromptPrice = None,
    completion_price: CompletionPrice = None,
) -> None:
    """Describe images in words: the main scene, key objects, the primary action, significant details.

    A run that was ended, however, is gone on with by the same command. What cannot be described is listed in
    OUT.rejects.jsonl with the reason, and tried again by the next run.
    """
    selection = _selected(images, out, data, split, per, reference_captions=reference_captions)
    options = DescriberOptions(
        *(reference_captions, describer, endpoint, model, key_env),
        *(temperature, max_tokens, image_side, timeout, deadline),
    )
    meter = _meter(prompt_price, completion_price)
    with describer_of(with_, options, meter) as chosen:
        _write(images, selection, out, chosen, meter, jobs=jobs, overwrite=overwrite)


@contextmanager
def describer_of(kind: With, options: DescriberOptions, meter: "Meter") -> "Iterator[Describer]":
    """The describer of a name, ready to be asked, and closed in the end.

    The one place where a describer is made: a new one gets a name in `With`, its options in `DescriberOptions`, and a
    case here. `meter` counts the tokens of those that take any. Raises ConfigError for options that are missing.
    """
    match kind:
        case With.OPENAI:
            with _openai(options, meter) as describer:
                yield describer
        case With.TAGS | With.NEIGHBOURS:
            with _local(kind, options) as describer:
                yield describer


@contextmanager
def _local(kind: With, options: DescriberOptions) -> "Iterator[Describer]":
    """A describer whose files lie in a folder; tags can be made from the pretrained weights, where torch is."""
    from model.descriptions.of_model import load_describer

    if options.reference_captions:
        raise ConfigError(f"--with {kind} asks nobody and takes no captions: leave --reference-captions out")
    if options.folder is not None:
        yield load_describer(kind, options.folder)
    elif kind is With.NEIGHBOURS:
        raise ConfigError("--with neighbours needs --describer, a folder that `aahr data neighbours` writes")
    else:
        from training.export.tags import write_tags

        with TemporaryDirectory() as folder:
            write_tags(Path(folder))
            yield load_describer(kind, Path(folder))


@contextmanager
def _openai(options: DescriberOptions, meter: "Meter") -> "Iterator[Describer]":
    from model.descriptions.openai import Endpoint, OpenAIDescriber, Patience, Picture, Sampling

    if options.endpoint is None or options.model is None:
        missing = "--endpoint" if options.endpoint is None else "--model"
        raise ConfigError(f"--with openai needs {missing}, such as --endpoint http://localhost:8000/v1 --model NAME")
    with OpenAIDescriber(
        Endpoint.of(options.endpoint, options.model, os.environ, options.key_variable),
        "reference" if options.reference_captions else "generated",
        sampling=Sampling(options.temperature, options.max_tokens),
        picture=Picture(options.image_side),
        patience=Patience(options.timeout_s, options.deadline_s),
        meter=meter,
    ) as describer:
        yield describer


def _selected(
    images: Path,
    out: Path,
    data: Path | None,
    split: str | None,
    per: Literal["image", "caption"],
    *,
    reference_captions: bool,
) -> "Selection":
    """What of the folder is described; hidden files, files of other kinds, and what this command writes are not."""
    from index.sources.folder import find_images
    from model.descriptions.rejects import rejects_path
    from model.descriptions.selection import Item, items_of_dataset
    from model.descriptions.writing import Selection
    from model.errors import DataError

    if data is not None:
        if not images.is_dir():
            raise DataError(f"{images} is not a folder of images; give the folder that holds those of {data}")
        return Selection(items_of_dataset(data, split=split, per=per, reference_captions=reference_captions))
    if split is not None or per != "image" or reference_captions:
        raise ConfigError("--split, --per caption and --reference-captions are about a data set; name it with --data")
    own = {out.resolve(), rejects_path(out).resolve()}
    found = find_images(images, wanted=lambda uri: (images / uri).resolve() not in own)
    if not found.uris and not found.rejects:
        raise DataError(f"{images} holds no image; give the folder that holds them")
    return Selection([Item(uri) for uri in found.uris], [(reject.uri, reject.reason) for reject in found.rejects])


def _meter(prompt_price: float | None, completion_price: float | None) -> "Meter":
    from model.descriptions.usage import Meter, Prices

    free = prompt_price is None and completion_price is None
    return Meter(None if free else Prices(prompt_price or 0.0, completion_price or 0.0))


def _write(
    images: Path,
    selection: "Selection",
    out: Path,
    describer: "Describer",
    meter: "Meter",
    *,
    jobs: int,
    overwrite: bool,
) -> None:
    """Run, with progress on the terminal, and print the summary as the last line."""
    from rich.console import Console

    from index.sources.images import ImageReader
    from model.descriptions.progress import description_progress
    from model.descriptions.writing import Run

    reader = ImageReader(images)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with description_progress(console) as track:
        run = Run(lambda image: reader.read(image).data, describer, jobs=jobs, meter=meter, track=track)
        summary = run.into(out, selection, overwrite=overwrite)
    typer.echo(str(summary))
    if summary.interrupted:
        typer.echo("aahr: stopped; the same command goes on from there", err=True)
        raise typer.Exit(130)
