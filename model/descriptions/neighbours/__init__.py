"""Retrieval as a describer: what people wrote of the training images that look most like this one.

Consensus captions of nearest neighbours (Devlin et al., "Exploring Nearest Neighbor Approaches for Image Captioning",
arXiv 1505.04467). "Look most like" is the cosine of the frozen image backbone's global features: a trained model would
find better neighbours for images that it was trained on than for any other (docs/decisions/0015).
"""

from model.descriptions.neighbours.describer import NeighboursDescriber, load_neighbours
from model.descriptions.neighbours.gallery import NEIGHBOURS_FILES, NeighboursFile, write_gallery

__all__ = ["NEIGHBOURS_FILES", "NeighboursDescriber", "NeighboursFile", "load_neighbours", "write_gallery"]
