"""The offline describer: ImageNet tags, dominant colours and layout put into words."""

from model.descriptions.tags.describer import TagsDescriber, load_tags
from model.descriptions.tags.vocabulary import TAGS_FILE, TAGS_GRAPH

__all__ = ["TAGS_FILE", "TAGS_GRAPH", "TagsDescriber", "load_tags"]
