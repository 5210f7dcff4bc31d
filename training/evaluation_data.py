"""What `aahr evaluate` and `aahr calibrate` are given: where a split lies, and what is measured on it."""

from dataclasses import dataclass
from pathlib import Path

from training.data.dataset import ImageTextDataset
from training.data.formats import FileFormat, read_split


@dataclass(frozen=True)
class EvaluationData:
    """Images and captions of one split, what a protocol measures on them, and what the model may be told besides.

    Attributes:
        data: a file in Karpathy's format or a directory in SCAN's, unless `data_format` says otherwise.
        images: folder with the images; not needed for a model that takes regions.
        split: train, val or test.
        judgments: expert judgments of the split's images; with them `expert_tau_c` is measured.
        protocol: one of `training.protocols`.
        descriptions: those of the images, for a model that fuses semantics: without them all are taken for missing.
        data_format: of `data`.
        normalise: whether recalls are reported again with hubs penalised, by a query bank of the train split.
    """

    data: Path
    images: Path | None
    split: str
    judgments: Path | None = None
    protocol: str = "standard"
    descriptions: Path | None = None
    data_format: FileFormat | None = None
    normalise: bool = False

    def read(self) -> ImageTextDataset:
        """The split; raises DataError for data that is not in its format."""
        return read_split(self.data, self.images, self.split, self.data_format)
