"""The commands `aahr data …`: drawn images, missing features, and describers made of training images."""

from pathlib import Path
from typing import Annotated

import typer

from cli_options import CACHE, Cache

app = typer.Typer(no_args_is_help=True, help="Prepare data sets.")


@app.command("scenes")
def data_scenes(
    out: Annotated[Path, typer.Option(help="Folder for scenes.json and images/.")],
    count: Annotated[int, typer.Option(min=1, help="Number of images.")] = 2000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same files.")] = 0,
) -> None:
    """Draw synthetic images with captions, and record which captions are true of which images."""
    from training.scenes import write_scenes

    summary = write_scenes(out, count=count, seed=seed)
    typer.echo(
        f"{out / 'scenes.json'}: {summary.images} images, {summary.captions} captions, "
        f"{summary.soft_negative_share:.0%} of them with a soft negative"
    )


@app.command("clip")
def data_clip(
    directory: Annotated[Path, typer.Argument(help="Directory in SCAN's format, with id_mapping.json.")],
    images: Annotated[Path, typer.Option(help="Folder with the raw images.")],
    clip: Annotated[Path, typer.Option(help="Directory of CLIP ViT-B/32 in the format of transformers.")],
    cache: Cache = CACHE,
) -> None:
    """Compute the missing CLIP embeddings of images, and save them as {split}_clip.npy next to their regions."""
    from training.data.scan import write_clip_features

    for file in write_clip_features(directory, images, clip, cache):
        typer.echo(f"wrote {file}")


@app.command("neighbours")
def data_neighbours(
    captions: Annotated[Path, typer.Argument(help="Captions in Karpathy's JSON format; the train split is taken.")],
    images: Annotated[Path, typer.Option(help="Folder with the images.")],
    out: Annotated[Path, typer.Option(help="Folder for the describer, which `aahr describe` takes.")],
    cache: Cache = CACHE,
) -> None:
    """Make a describer out of training images: it describes an image by what was written of those like it."""
    from training.data.karpathy import load_karpathy
    from training.neighbours import write_neighbours

    dataset = load_karpathy(captions, images, "train")
    write_neighbours(out, dataset, cache)
    typer.echo(f"{out}: {len(dataset)} images with {len(dataset.captions)} captions")
