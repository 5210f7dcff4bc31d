"""Image-text retrieval with AAHR: train, evaluate and export models, index images and captions, search them.

Errors are printed as one line, with exit status 2.
"""

# One sub-command per stage of the pipeline, each imported only when it is called.

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli_data import app as data_app
from cli_describe import describe
from cli_doctor import EXTRA_OF, doctor, how_to_install
from cli_index import app as index_app
from cli_options import CACHE, Cache, DataFormat
from model.errors import AahrError

Descriptions = Annotated[
    Path | None, typer.Option(help="File of `aahr describe` about the images of --data, for a model with semantics.")
]

app = typer.Typer(name="aahr", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(data_app, name="data")
app.add_typer(index_app, name="index")
app.command()(describe)
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aahr {version('aahr')}")
        raise typer.Exit


@app.callback(help=__doc__)
def _every_command(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that stand before a command."""


@app.command()
def train(
    config: Annotated[
        Path, typer.Argument(help="Recipe: a TOML file, or the name of one that comes with aahr, such as mini.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Run directory; default: runs/NAME, with the name of the recipe.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting of the recipe: key=value. Repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in the run directory.")] = False,
    cache: Cache = CACHE,
) -> None:
    """Train a model from a recipe. The checkpoint with the best val score is saved to RUN/best."""
    from training.config import load_config
    from training.train import Interrupted
    from training.train import train as train_recipe

    recipe = load_config(config, settings or [])
    try:
        best = train_recipe(recipe, out or Path("runs") / recipe.name, cache, resume=resume)
    except Interrupted as stop:
        typer.echo(f"aahr: {stop}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"best checkpoint: {best}")


@app.command()
def average(
    first: Annotated[Path, typer.Argument(help="Checkpoint written by `aahr train`.")],
    second: Annotated[Path, typer.Argument(help="Checkpoint of another run with the same network.")],
    out: Annotated[Path, typer.Option(help="Directory for the new checkpoint.")],
    shares: Annotated[
        list[float] | None,
        typer.Option("--share", help="Weight of the second checkpoint, 0 to 1; repeat to try several."),
    ] = None,
    cache: Cache = CACHE,
) -> None:
    """Average the parameters of two runs, with the weight that scores best on val."""
    from training.average import average as average_checkpoints

    share = average_checkpoints(first, second, out, shares=shares or [0.5], cache=cache)
    typer.echo(f"{out}: {1 - share:g} of {first}, {share:g} of {second}")


@app.command()
def evaluate(
    directory: Annotated[Path, typer.Argument(help="Checkpoint from `aahr train`, or model from `aahr export`.")],
    data: Annotated[Path, typer.Option(help="File of captions, or directory of files; see --format.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder with the images; not needed for a model that takes regions.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split to evaluate: train, val or test.")] = "test",
    data_format: DataFormat = None,
    protocol: Annotated[
        str, typer.Option(help="What to measure: standard, scenes, coco-1k, coco-5k or eccv-caption.")
    ] = "standard",
    judgments: Annotated[
        Path | None, typer.Option(help="CSV file of expert judgments (Flickr8k); adds Kendall's tau-c.")
    ] = None,
    descriptions: Descriptions = None,
    normalise: Annotated[
        bool, typer.Option("--normalise", help="Also report recalls with hubs penalised, by a bank of the train split.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(help="Another checkpoint or model, to compare by a paired bootstrap over the queries."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the metrics to this file.")] = None,
    cache: Cache = CACHE,
) -> None:
    """Measure image-to-text and text-to-image retrieval, and say whether the model was trained on such data."""
    from training.about import describe_evaluation
    from training.comparison import compare, show_comparison
    from training.evaluate import evaluate as evaluate_directory
    from training.evaluate import show_metrics
    from training.evaluation_data import EvaluationData

    on = EvaluationData(data, images, split, judgments, protocol, descriptions, data_format, normalise)
    about = describe_evaluation(directory, on)
    if against is None:
        show_metrics(evaluate_directory(directory, on, cache), about, json_file)
    else:
        show_comparison(compare(directory, against, on, cache), about, against, json_file)


@app.command()
def calibrate(
    directory: Annotated[Path, typer.Argument(help="Checkpoint from `aahr train`, or model from `aahr export`.")],
    data: Annotated[Path, typer.Option(help="File of captions, or directory of files; its val split is taken.")],
    images: Annotated[Path | None, typer.Option(help="Folder with the images.")] = None,
    data_format: DataFormat = None,
    descriptions: Descriptions = None,
    cache: Cache = CACHE,
) -> None:
    """Fit match probabilities to the scores on val, and put them into the checkpoint or model."""
    from training.calibrate import calibrate as calibrate_directory
    from training.evaluation_data import EvaluationData

    on = EvaluationData(data, images, "val", descriptions=descriptions, data_format=data_format)
    for line in calibrate_directory(directory, on, cache):
        typer.echo(line)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint from `aahr train`, such as checkpoints/mini.")],
    out: Annotated[Path, typer.Option(help="Directory for the model; an existing model is replaced.")],
    precision: Annotated[Literal["fp32", "fp16", "int8"], typer.Option(help="fp16 for GPUs, int8 for CPUs.")] = "fp32",
    check: Annotated[
        Path | None,
        typer.Option(help="Folder of images (and *.txt captions) to compare with PyTorch; default: drawn scenes."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="fp16, int8: data set to measure the accuracy on; default: that of the recipe.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder with the images of --data.")] = None,
    descriptions: Descriptions = None,
    describer: Annotated[
        Path | None, typer.Option(help="Folder of the describer of a model with semantics, to go with it.")
    ] = None,
    cache: Cache = CACHE,
) -> None:
    """Export a checkpoint to ONNX, with everything that indexing and serving need.

    An fp16 or int8 model that loses more than 1 rSum on val is refused. Each precision is a model of its own: an index
    can only be searched with the model that built it.
    """
    from training.export import export as export_checkpoint

    export_checkpoint(
        checkpoint,
        out,
        precision=precision,
        check=check,
        data=data,
        images=images,
        descriptions=descriptions,
        describer=describer,
        cache=cache,
    )


@app.command("import")
def import_model(
    directory: Annotated[Path, typer.Argument(help="CLIP or SigLIP, as `save_pretrained` of transformers writes it.")],
    out: Annotated[Path, typer.Option(help="Directory for the model; an existing model is replaced.")],
    name: Annotated[str | None, typer.Option(help="What the model is called; default: as its directory.")] = None,
    precision: Annotated[Literal["fp32", "fp16", "int8"], typer.Option(help="fp16 for GPUs, int8 for CPUs.")] = "fp32",
    check: Annotated[
        Path | None, typer.Option(help="Folder of images (and *.txt captions) to compare with PyTorch.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="fp16, int8: data set to measure the accuracy on, by val.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder with the images of --data.")] = None,
) -> None:
    """Make a model for indexing and serving out of a CLIP or SigLIP that you have."""
    from training.importing import import_model as import_directory

    import_directory(directory, out, name=name, precision=precision, check=check, data=data, images=images)


@app.command()
def serve(
    index: Annotated[str | None, typer.Option(help="Index directory; default: AAHR_INDEX_DIR.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model; default: AAHR_MODEL_DIR, else the one that built the index.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: AAHR_HOST, else 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; default: AAHR_PORT, else 8000.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that serve; default: AAHR_WORKERS, else 1.")
    ] = None,
) -> None:
    """Serve an index over HTTP.

    Settings without an option are environment variables; docs/settings.md describes them: AAHR_THREADS,
    AAHR_MAX_BATCH, AAHR_MAX_WAIT_MS, AAHR_MAX_QUEUE, AAHR_WATCH_S, AAHR_MAX_BODY_BYTES, AAHR_REQUEST_TIMEOUT_S,
    AAHR_MAX_CONCURRENCY, AAHR_IMAGE_FORMATS, AAHR_API_KEYS, AAHR_API_KEYS_FILE, AAHR_ADMIN_TOKEN,
    AAHR_ALLOW_ANONYMOUS, AAHR_RATE_LIMIT, AAHR_ALLOWED_HOSTS, AAHR_ALLOWED_ORIGINS, AAHR_FETCH_URLS,
    AAHR_FETCH_PORTS, AAHR_DESCRIBE_URL, AAHR_DESCRIBE_TIMEOUT_S, OPENAI_API_KEY, REDIS_URL, REDIS_URL_FILE,
    AAHR_CACHE_TTL_S, AAHR_CACHE_BYTES, AAHR_LOG_FORMAT, AAHR_LOG_LEVEL, AAHR_ACCESS_LOG,
    OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_PROTOCOL.
    """
    from service.server import serve as serve_http

    serve_http(index=index, model_directory=model, host=host, port=port, workers=workers)


@app.command()
def demo(
    images: Annotated[
        Path | None, typer.Option(help="Folder with your own images; default: drawn scenes with captions.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 8000,
    directory: Annotated[Path, typer.Option(help="Folder for the model, the images and the index.")] = Path("var"),
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint to export; default: the one that comes with aahr.")
    ] = None,
    serve: Annotated[bool, typer.Option(help="Serve the index, or only prepare it.")] = True,
) -> None:
    """Export the default model, build an index and serve it, with one example query in each direction."""
    from demo import run_demo, shipped_checkpoint

    run_demo(directory, checkpoint=checkpoint or shipped_checkpoint(), images=images, port=port, serve=serve)


def main() -> None:
    """Entry point of the console script `aahr`."""
    try:
        app(prog_name=app.info.name)
    except AahrError as error:
        print(f"aahr: {error.with_detail}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRA_OF:
            raise
        print(f"aahr: this needs {module}, which is not installed; {how_to_install(module)}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
