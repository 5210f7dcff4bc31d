"""Nearest-neighbour search over the rows of one segment: rows and vectors, nothing else."""

from index.ann.build import build_ann
from index.ann.exact import exact_scan, rerank
from index.ann.opening import open_ann
from index.ann.protocol import Allowed, AnnIndex, SearchParams
from index.ann.specs import FLAT, AnnSpec

__all__ = ["FLAT", "Allowed", "AnnIndex", "AnnSpec", "SearchParams", "build_ann", "exact_scan", "open_ann", "rerank"]
