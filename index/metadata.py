"""Metadata of the rows of a segment, in columns that stay on disk: Arrow, memory-mapped.

An item becomes a Python object only when it is a hit.
"""

import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        # Of a caption the id of its image, of an image its own: what is deleted or replaced together.
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("caption", pa.string()),
        pa.field("payload", pa.string(), nullable=False),  # a JSON object
        # SHA-256 of the image file's bytes (of a caption: null): equal, and the image need not be embedded again.
        pa.field("fingerprint", pa.binary(32)),
    ]
)
