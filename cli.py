"""The command line `aahr`: one sub-command per stage of the pipeline, each imported only when it is called.

Errors that this project raises on purpose are printed as one line, and the exit status is 2.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli_index import app as index_app
from model.errors import AahrError

CACHE = Path.home() / ".cache" / "aahr"

app = typer.Typer(name="aahr", no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
data_app = typer.Typer(no_args_is_help=True, help="Make and inspect data sets.")
app.add_typer(data_app, name="data")
app.add_typer(index_app, name="index")


@data_app.command("scenes")
def data_scenes(
    out: Annotated[Path, typer.Option(help="Folder to write scenes.json and images/ to.")],
    count: Annotated[int, typer.Option(min=1, help="Number of pictures.")] = 2000,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal files.")] = 0,
) -> None:
    """Draw pictures of which it is known exactly which captions hold for which of them."""
    from training.scenes import write_scenes

    summary = write_scenes(out, count=count, seed=seed)
    typer.echo(
        f"{out / 'scenes.json'}: {summary.images} pictures, {summary.captions} captions, "
        f"{summary.soft_negative_share:.0%} of them with a soft negative"
    )


@data_app.command("clip")
def data_clip(
    directory: Annotated[Path, typer.Argument(help="Data in SCAN's format, with id_mapping.json.")],
    images: Annotated[Path, typer.Option(help="Folder of the raw pictures.")],
    clip: Annotated[Path, typer.Option(help="Directory of CLIP ViT-B/32, as transformers keeps it.")],
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones, computed once.")] = CACHE,
) -> None:
    """Write CLIP's embeddings of the pictures beside the regions, as {split}_clip.npy, where they are missing."""
    from training.data.scan import write_clip_features

    for file in write_clip_features(directory, images, clip, cache):
        typer.echo(f"wrote {file}")


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="Recipe, such as training/configs/mini.toml.")],
    out: Annotated[Path | None, typer.Option(help="Run directory; default: runs/NAME of the recipe.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value, overrides the recipe.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in the run directory.")] = False,
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones, computed once.")] = CACHE,
) -> None:
    """Train a recipe; the best epoch is chosen on val and lies in RUN/best."""
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
    first: Annotated[Path, typer.Argument(help="Checkpoint of `aahr train`.")],
    second: Annotated[Path, typer.Argument(help="Checkpoint of another run of the same network.")],
    out: Annotated[Path, typer.Option(help="Directory of the new checkpoint.")],
    shares: Annotated[
        list[float] | None, typer.Option("--share", help="Of the second; the best on val of all.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones, computed once.")] = CACHE,
) -> None:
    """Write the mean of two runs' parameters, in the share that is best on val."""
    from training.average import average as average_checkpoints

    share = average_checkpoints(first, second, out, shares=shares or [0.5], cache=cache)
    typer.echo(f"{out}: {1 - share:g} of {first}, {share:g} of {second}")


@app.command()
def evaluate(
    directory: Annotated[Path, typer.Argument(help="Checkpoint of `aahr train` or model of `aahr export`.")],
    data: Annotated[Path, typer.Option(help="Captions in Karpathy's format, or a directory in SCAN's.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures, for a model that takes them.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    protocol: Annotated[str, typer.Option(help="standard, scenes, coco-1k, coco-5k or eccv-caption.")] = "standard",
    judgments: Annotated[Path | None, typer.Option(help="CSV of expert judgments (Flickr8k).")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the metrics here as well.")] = None,
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones, computed once.")] = CACHE,
) -> None:
    """Measure retrieval both ways; with judgments also Kendall's tau-c."""
    from training.evaluate import evaluate as evaluate_directory
    from training.evaluate import show_metrics

    metrics = evaluate_directory(
        directory, data=data, images=images, split=split, judgments=judgments, cache=cache, protocol=protocol
    )
    show_metrics(metrics, json_file)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of `aahr train`, such as checkpoints/mini.")],
    out: Annotated[Path, typer.Option(help="Directory of the model; replaced in one rename.")],
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="fp16 is for a GPU, int8 for a CPU.")
    ] = "fp32",
    check: Annotated[Path | None, typer.Option(help="Pictures (and *.txt captions) to compare with torch on.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="fp16, int8: where the val split lies on which the loss is measured.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the pictures of --data.")] = None,
    cache: Annotated[Path, typer.Option(help="Features of frozen backbones, computed once.")] = CACHE,
) -> None:
    """Write the ONNX graphs, tokenizer, preprocessing and manifest that indexing and serving run on.

    An fp16 or int8 model is refused where it loses more than 1 rSum on val. Each is a model of its own: an index
    belongs to the one that embedded it.
    """
    from training.export import export as export_checkpoint

    export_checkpoint(checkpoint, out, precision=precision, check=check, data=data, images=images, cache=cache)


@app.command()
def serve(
    index: Annotated[str | None, typer.Option(help="Index directory; default: AAHR_INDEX_DIR.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model artifact; default: AAHR_MODEL_DIR, or the index's.")] = None,
    host: Annotated[str | None, typer.Option(help="Default: AAHR_HOST, else 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Default: AAHR_PORT, else 8000.")] = None,
) -> None:
    """Serve the index over HTTP. More settings come from the environment: see the README."""
    from service.server import serve as serve_http

    serve_http(index=index, model_directory=model, host=host, port=port)


@app.command()
def demo(
    images: Annotated[Path | None, typer.Option(help="Your own pictures; default: drawn scenes with captions.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the gallery is served.")] = 8000,
    directory: Annotated[Path, typer.Option(help="Where model, pictures and index are kept.")] = Path("var"),
    checkpoint: Annotated[Path, typer.Option(help="The trained model.")] = Path("checkpoints/mini"),
    serve: Annotated[bool, typer.Option(help="Serve the gallery, or only prepare it.")] = True,
) -> None:
    """Export the default model, index a gallery and serve it, with one question in each direction."""
    from demo import run_demo

    run_demo(directory, checkpoint=checkpoint, images=images, port=port, serve=serve)


def main() -> None:
    """Entry point of the console script `aahr`."""
    try:
        app(prog_name=app.info.name)
    except AahrError as error:
        print(f"aahr: {error.with_detail}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
