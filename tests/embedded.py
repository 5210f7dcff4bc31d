"""Small sources and what becomes of them, for tests of the embedding."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from index.embedding import Settings, embed_source
from index.items import Modality
from index.pending import PendingVersion
from index.sources import Source, read_source
from model.artifact import load_model_artifact
from tests.artifacts import COLOURS, WORDS

SHARD = 8  # records


def write_source(folder: Path, count: int, *, per_image: int = 2, size: int = 8, seed: int = 0) -> Source:
    """Images of random pixels about a colour, every tenth of them broken, and captions, one of them empty."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["image,caption,split"]
    for at, colour in enumerate(generator.integers(0, 256, (count, 3))):
        path = folder / f"{at:05d}.png"
        pixels = np.clip(colour + generator.integers(-40, 40, (size, size, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, compress_level=1)
        if at % 10 == 3:
            path.write_bytes(b"broken")
        for ordinal in range(per_image):
            words = generator.choice([*COLOURS, *WORDS], generator.integers(1, 9))
            lines.append(f"{path.name},{' '.join(words)} {ordinal},{'train' if at % 2 else 'test'}")
    (folder / "captions.csv").write_text("\n".join([*lines, "00001.png,,val"]) + "\n")
    return read_source(folder, captions=folder / "captions.csv")


def contents(pending: PendingVersion) -> dict[str, bytes | object]:
    """Everything that is published, to be compared to the byte."""
    return {
        **{f"{modality} vectors": rows.vectors.tobytes() for modality, rows in pending.rows.items()},
        **{f"{modality} rows": rows.metadata.to_pylist() for modality, rows in pending.rows.items()},
        "rejects": list(pending.rejects),
        "left_out": pending.left_out,
    }


def uris(pending: PendingVersion) -> list[str]:
    """The images that have an embedding."""
    found: list[str] = pending.rows[Modality.IMAGE].metadata.column("uri").to_pylist()
    return found


def main(shard: int = SHARD) -> None:
    """`python -m tests.embedded MODEL IMAGES WORK`: what is killed by tests of resuming."""
    model, images, work = map(Path, sys.argv[1:])
    source = read_source(images, captions=images / "captions.csv")
    embed_source(source, load_model_artifact(model), work, Settings(workers=2, shard_records=shard))


if __name__ == "__main__":
    main()
