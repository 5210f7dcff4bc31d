"""The one tree of errors that this project raises on purpose.

Each message names the thing, its value and the remedy. `code` is stable: clients may rely on it. The message is public:
the service shows it to anybody. What only the operator may see, such as a path of the machine, goes into `detail`,
which the command line prints and the service logs.
"""

import errno


class AahrError(Exception):
    """Base of every error that the command line shows as one line and the service as a 4xx or 503."""

    code = "error"

    def __init__(self, message: str, *, detail: str | None = None) -> None:
        super().__init__(message)
        self.detail = detail

    @property
    def with_detail(self) -> str:
        """The message, and the detail in parentheses where there is one: one line for the operator, not for clients."""
        return f"{self} ({self.detail})" if self.detail else str(self)


class InvalidInput(AahrError):
    """A query, image or text that cannot be used; the sender can fix it."""

    code = "invalid_input"


class UnreadableImage(InvalidInput):
    """The bytes are not an image, or a damaged one."""

    code = "unreadable_image"


class ImageTooLarge(InvalidInput):
    """The image has more pixels than are decoded."""

    code = "image_too_large"


class EmptyText(InvalidInput):
    """Nothing is left of a text once NUL characters and white space are stripped."""

    code = "empty_text"


class TextTooLong(InvalidInput):
    """The text has more characters than are tokenised."""

    code = "text_too_long"


class UnsupportedQuery(InvalidInput):
    """The loaded model or index cannot answer this kind of query."""

    code = "unsupported_query"


class ItemNotFound(AahrError):
    """No item of the gallery has this id."""

    code = "item_not_found"


class ImageChanged(AahrError):
    """The file of an item no longer holds the image that was indexed."""

    code = "image_changed"


class ArtifactError(AahrError):
    """A directory written by an earlier stage cannot be used."""

    code = "artifact_error"


def not_written(message: str, error: OSError) -> ArtifactError:
    """What to raise where a write failed: StorageFull where there is no room, else ArtifactError."""
    return StorageFull(message) if error.errno in (errno.ENOSPC, errno.EDQUOT) else ArtifactError(message)


class ArtifactMissing(ArtifactError):
    """The directory, or a file that its manifest names, is not there."""

    code = "artifact_missing"


class ArtifactCorrupt(ArtifactError):
    """A size, hash, row count or format differs from what the manifest says."""

    code = "artifact_corrupt"


class ArtifactMismatch(ArtifactError):
    """Two artifacts do not belong together, such as an index of another model."""

    code = "artifact_mismatch"


class ArtifactBusy(ArtifactError):
    """Another process is changing the directory; it can be changed when that has ended."""

    code = "artifact_busy"


class StorageFull(ArtifactError):
    """There is no room to write what is to be stored; nothing has changed."""

    code = "storage_full"


class ImagesNotWritable(ArtifactError):
    """Image files cannot be put beside those of the index."""

    code = "images_not_writable"


class DataError(AahrError):
    """A data set, caption file or folder is not in the format it should be in."""

    code = "invalid_data"


class ConfigError(AahrError):
    """A setting has an unknown name or a value that cannot work."""

    code = "invalid_config"


class TrainingError(AahrError):
    """Training cannot go on, such as a loss that is not finite."""

    code = "training_error"
