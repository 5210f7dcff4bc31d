"""Nearest-neighbour search over the rows of one segment: rows and vectors, nothing else."""

from index.ann.protocol import Allowed, AnnIndex, SearchParams

__all__ = ["Allowed", "AnnIndex", "SearchParams"]
