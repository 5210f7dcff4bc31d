"""Visual semantic descriptions (VSD, section 3.1): what an image shows, in words; the file of them, and describers."""

from model.descriptions.describer import Describer, Rejected, Subject
from model.descriptions.file import Description, DescriptionFile, Source, read_descriptions

__all__ = [
    "Describer",
    "Description",
    "DescriptionFile",
    "Rejected",
    "Source",
    "Subject",
    "read_descriptions",
]
