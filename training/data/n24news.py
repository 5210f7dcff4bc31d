"""N24News as training takes it: one published split beside a folder of images, one caption an image."""

from pathlib import Path

import numpy as np

from model.datasets.n24news import NAME, n24news_file, read_n24news
from model.errors import DataError
from training.data.dataset import ImageTextDataset, Split, refuse_missing_images


def load_n24news(path: Path, images: Path, split: Split) -> ImageTextDataset:
    """One split of N24News; `path` is its file, or the folder of the three. Ids are the places in the file.

    Raises DataError for a file that is not in the format, that is of another split or has no image, and for images that
    are not in the folder `images`, which are counted and the first named.
    """
    file = n24news_file(path, split)
    found = read_n24news(file)
    if not found:
        raise DataError(f"{file} has no image: give the published file of split '{split}'")
    paths = tuple(images / image.filename for image in found)
    refuse_missing_images(paths, images, str(file))
    places = np.arange(len(found))
    return ImageTextDataset(
        name=f"{NAME} {split}",
        image_paths=paths,
        image_ids=places,
        captions=tuple(image.caption for image in found),
        caption_ids=places,
        image_of_caption=places,
    )
