"""Single texts of an Arrow column, read without objects of Arrow: a hit has five of them, a request many hits."""

from typing import Any

_NOTHING = memoryview(b"")


class TextCells:
    """The texts of a column of strings, by their place; any number of threads may read."""

    def __init__(self, column: Any) -> None:
        """`column`: a pyarrow.StringArray, whose buffers stay where they are: on disk, if it is mapped."""
        validity, offsets, data = column.buffers()
        self._first = column.offset
        self._validity = None if validity is None else memoryview(validity)
        self._offsets = _NOTHING if offsets is None else memoryview(offsets).cast("i")
        self._data = _NOTHING if data is None else memoryview(data)

    def __getitem__(self, place: int) -> str | None:
        """The text, None for a null; raises ValueError for what is not UTF-8, and IndexError beyond the column."""
        bit = self._first + place
        if self._validity is not None and not self._validity[bit >> 3] >> (bit & 7) & 1:
            return None
        return str(self._data[self._offsets[bit] : self._offsets[bit + 1]], "utf-8")
