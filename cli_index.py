"""The sub-commands `aahr index …`: build a gallery, change it, search it without a server.

INDEX is a directory, or a collection of a Milvus server as `milvus:http://HOST:19530/NAME`.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    no_args_is_help=True, help="Embed a gallery, publish it as an index, change it, search it without a server."
)

Index = Annotated[str, typer.Argument(metavar="INDEX", help="Index directory, or milvus:http://HOST:19530/NAME.")]
Images = Annotated[
    str | None,
    typer.Option(help="Folder of images with its sub-folders, a pattern such as 'photos/**/*.jpg', or a .tar file."),
]
Table = Annotated[
    Path | None,
    typer.Option(help="CSV, JSON lines or Parquet: image, optional id and caption; other columns become the payload."),
]
Captions = Annotated[Path | None, typer.Option(help="Karpathy JSON, or a table of image and caption.")]
Descriptions = Annotated[
    Path | None,
    typer.Option(help="What the images show, by `aahr describe`, for a model trained with descriptions (semantics)."),
]
Strict = Annotated[bool, typer.Option(help="Captions whose image is not there are an error.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads that decode and encode; default: one a core.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Images of one call of the model; default: as measured.")]
MaxRejects = Annotated[float, typer.Option(min=0, max=1, help="Share of the images that may be refused.")]
Normalise = Annotated[
    Literal["gallery", "none"],
    typer.Option(help="gallery: penalise hubs, estimated on its own captions and images; none: cosine alone."),
]
Views = Annotated[
    int, typer.Option(min=1, max=2, help="2: embed each image mirrored as well; not where left and right matter.")
]
Target = Annotated[Literal["image", "text"], typer.Option(help="Which items.")]


@app.command()
def rebuild(
    model: Annotated[Path, typer.Option(help="Model artifact written by `aahr export`.")],
    out: Annotated[str, typer.Option(help="Index directory or Milvus collection; a new version is published in it.")],
    images: Images = None,
    captions: Captions = None,
    table: Table = None,
    strict: Strict = False,
    regions: Annotated[Path | None, typer.Option(help="SCAN directory, for a model that takes regions.")] = None,
    split: Annotated[str, typer.Option(help="Of --regions: train, val or test.")] = "test",
    kind: Annotated[str | None, typer.Option(help="Nearest-neighbour index; default: chosen and tuned.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of the index, such as 500MB or 30%.")] = None,
    recall: Annotated[float, typer.Option(min=0.5, max=1, help="recall@10 that the index is tuned to.")] = 0.95,
    normalise: Normalise = "gallery",
    views: Views = 1,
    descriptions: Descriptions = None,
    workers: Workers = None,
    batch: Batch = None,
    max_rejects: MaxRejects = 0.5,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Where images are embedded.")] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Ray cluster; default: this machine.")] = None,
) -> None:
    """Embed a gallery and publish it as a new version of the index.

    What an earlier, killed run has embedded is used, and so are unchanged images of the current version. A description
    counts as missing where the file of its image has changed since, or where the image has none.
    """
    from index.rebuild import AnnChoice, Embedding, SourceChoice
    from index.rebuild import rebuild as rebuild_index

    rebuild_index(
        model,
        out,
        SourceChoice(images, captions, table, strict, regions, split, descriptions),
        AnnChoice(kind, memory, recall, normalise == "gallery"),
        Embedding(workers, batch, max_rejects, engine, ray_address, views),
    )


@app.command()
def add(
    index: Index,
    images: Images = None,
    captions: Captions = None,
    table: Table = None,
    descriptions: Descriptions = None,
    model: Annotated[Path | None, typer.Option(help="Model artifact, where it has moved since the rebuild.")] = None,
    workers: Workers = None,
    max_rejects: MaxRejects = 0.5,
) -> None:
    """Add images that are not in the index yet; one that is refuses the whole change."""
    from index.rebuild import Embedding, SourceChoice, change

    source = SourceChoice(images=images, captions=captions, table=table, descriptions=descriptions)
    change(index, source, Embedding(workers, None, max_rejects), model, replace=False)


@app.command()
def upsert(
    index: Index,
    images: Images = None,
    captions: Captions = None,
    table: Table = None,
    descriptions: Descriptions = None,
    model: Annotated[Path | None, typer.Option(help="Model artifact, where it has moved since the rebuild.")] = None,
    workers: Workers = None,
    max_rejects: MaxRejects = 0.5,
) -> None:
    """Add images, or replace those of equal id, together with their captions."""
    from index.rebuild import Embedding, SourceChoice, change

    source = SourceChoice(images=images, captions=captions, table=table, descriptions=descriptions)
    change(index, source, Embedding(workers, None, max_rejects), model, replace=True)


@app.command()
def delete(index: Index, ids: Annotated[list[str], typer.Argument(help="Ids of images or captions.")]) -> None:
    """Delete items; the captions of an image go with it."""
    from index.administer import delete_items

    delete_items(index, ids)


@app.command()
def compact(index: Index) -> None:
    """Write the current version anew without its deleted rows, with a freshly tuned index."""
    from index.administer import compact as compact_index

    compact_index(index)


@app.command()
def versions(index: Index) -> None:
    """List the versions that can be served or rolled back to."""
    from index.administer import print_versions

    print_versions(index)


@app.command()
def rollback(
    index: Index,
    to: Annotated[str | None, typer.Option(help="Version, such as 000003; default: the one before.")] = None,
) -> None:
    """Make an earlier version the current one; nothing is deleted."""
    from index.administer import rollback as roll_back

    roll_back(index, to)


@app.command()
def prune(
    index: Index, keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")]
) -> None:
    """Delete old versions, and what no version needs any more."""
    from index.administer import prune as prune_versions

    prune_versions(index, keep)


@app.command()
def duplicates(
    index: Index,
    target: Target = "image",
    threshold: Annotated[float, typer.Option(min=0.5, max=1, help="Cosine from which items count as equal.")] = 0.97,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the groups here as well.")] = None,
) -> None:
    """List items that are equal or nearly so, in groups."""
    from index.administer import print_duplicates

    print_duplicates(index, target, threshold, json_file)


@app.command()
def search(
    index: Index,
    text: Annotated[str | None, typer.Argument(help="A sentence.")] = None,
    image: Annotated[Path | None, typer.Option(help="An image file, in place of a sentence.")] = None,
    model: Annotated[Path | None, typer.Option(help="Model artifact, where it has moved since the rebuild.")] = None,
    target: Annotated[str | None, typer.Option(help="image or text; default: the other modality of the query.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 10,
    offset: Annotated[int, typer.Option(min=0, help="How many of the best hits are skipped.")] = 0,
    where: Annotated[
        str | None, typer.Option("--filter", help='JSON: {"must": [{"key": "year", "range": {"gte": 2010}}]}.')
    ] = None,
    unique: Annotated[
        float | None, typer.Option(min=0.5, max=1, help="Leave out hits whose cosine with a better one is as high.")
    ] = None,
) -> None:
    """Search an index without a server."""
    from index.console import print_search

    print_search(
        index,
        text=text,
        image=image,
        model_directory=model,
        target=target,
        limit=limit,
        offset=offset,
        where=where,
        unique=unique,
    )
