"""Settings of the objective: every part is a switch, with its weight and its start."""

from typing import Literal

from pydantic import Field

from model.config import Settings
from model.errors import ConfigError


class MatchingConfig(Settings):
    """L_match, also the loss of the relation part."""

    loss: Literal["distance_weighted", "hard_negative", "infonce"] = "distance_weighted"
    margin: float = Field(default=0.2, gt=0)
    temperature: float = Field(default=0.05, gt=0, description="of InfoNCE")
    nonzero_cut_off: float = Field(default=1.7, gt=0, le=2, description="1.9 for COCO")


class LocalMatchingConfig(Settings):
    """The matching loss on norm(l), the local embeddings before fusion, from the first step."""

    enabled: bool = False
    weight: float = Field(default=0.5, gt=0)


class PrototypeConfig(Settings):
    """L_proto: dynamic clustering prototypes.

    The paper has `epsilon` = `temperature` = 0.1, where even assignments are stable and nothing is ever learnt
    (docs/decisions/0013): a recipe with that is refused.
    """

    enabled: bool = True
    weight: float = 0.2
    start: float = Field(default=0.049, ge=0, lt=1, description="fraction of the planned steps")
    count: int = Field(default=384, ge=2)
    epsilon: float = Field(default=0.05, gt=0)
    iterations: int = Field(default=3, ge=1)
    temperature: float = Field(default=0.1, gt=0)
    over_keys: bool = Field(default=True, description="assign each batch together with the keys of the momentum queues")


class SemanticPrototypeConfig(Settings):
    """VSD at the level of prototypes: swapped prediction over frozen centroids of the training descriptions.

    896 for Flickr30K, 2,560 for COCO: 32 to 44 images a cluster.
    """

    enabled: bool = False
    weight: float = Field(default=1.0, gt=0)
    count: int = Field(default=896, ge=2)
    epsilon: float = Field(default=0.05, gt=0)
    iterations: int = Field(default=3, ge=1)
    temperature: float = Field(default=0.1, gt=0)


class RelationConfig(Settings):
    """L_rel: neighbourhood relation learning."""

    enabled: bool = True
    weight: float = 1.0
    start: float = Field(default=0.177, ge=0, lt=1)
    sigma: float = Field(default=1.0, gt=0)
    fragment_scores: Literal["normalised", "cosine"] = Field(
        default="normalised", description="of words and regions: as the authors take them, or the bare cosines"
    )
    relevance: Literal["learned", "mean"] = "learned"
    top: int = Field(default=10, ge=1)
    connected_fraction: float = Field(default=0.5, gt=0, le=1)
    graph_convolution: bool = True
    mask_weight: float = Field(default=1.0, description="1.5 for COCO")
    divergence_weight: float = Field(default=10.0, ge=0)


class MomentumConfig(Settings):
    """L_moco: momentum encoders and queues.

    `query` "local" contrasts norm(l) with the fused keys, as the authors do, and so supervises l before the relation
    starts; "fused" contrasts the embeddings. With weight 0 the queues are filled for the prototypes alone.
    """

    enabled: bool = True
    weight: float = Field(default=1.0, ge=0)
    query: Literal["fused", "local"] = "local"
    momentum: float = Field(default=0.999, ge=0, lt=1)
    queue: int = Field(default=2048, ge=1)
    temperature: float = Field(default=0.07, gt=0)


class SoftPositiveConfig(Settings):
    """L_soft, ours and not the paper's: soft positives by the similarity of captions to the untrained text backbone."""

    enabled: bool = False
    weight: float = 1.0
    temperature: float = Field(default=0.05, gt=0, description="of the scores of the embeddings")
    target_temperature: float = Field(default=0.1, gt=0, description="of the similarity of the captions")


class ObjectiveConfig(Settings):
    """Total: L_match + L_rel + 0.2 L_proto + L_moco, and what is on of our own; every part is a switch."""

    matching: MatchingConfig = MatchingConfig()
    local_matching: LocalMatchingConfig = LocalMatchingConfig()
    prototypes: PrototypeConfig = PrototypeConfig()
    semantic_prototypes: SemanticPrototypeConfig = SemanticPrototypeConfig()
    relation: RelationConfig = RelationConfig()
    momentum: MomentumConfig = MomentumConfig()
    soft_positives: SoftPositiveConfig = SoftPositiveConfig()


def refuse_idle_prototypes(objective: ObjectiveConfig, source: str) -> None:
    """Raise ConfigError for prototypes that could learn nothing; checkpoints of such runs are still read."""
    prototypes = objective.prototypes
    if not prototypes.enabled:
        return
    if prototypes.epsilon >= prototypes.temperature:
        raise ConfigError(
            f"{source}: objective.prototypes.epsilon = {prototypes.epsilon} is not below its temperature = "
            f"{prototypes.temperature}: assignments would stay even, and nothing would be learnt; choose at most "
            f"{prototypes.temperature / 2:g}"
        )
    if prototypes.over_keys and not objective.momentum.enabled:
        raise ConfigError(
            f"{source}: objective.prototypes.over_keys = true needs the keys of the momentum part: set "
            "objective.momentum.enabled = true (its weight = 0 keeps its loss out), or over_keys = false"
        )
