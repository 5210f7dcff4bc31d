"""The objective of AAHR: named parts, each a switch of the config (DESIGN 4.2)."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.nn.aahr import AAHR
from model.nn.encoder import Encoding
from training.distributed import Group
from training.losses import DistanceWeightedTriplet, HardNegativeTriplet, InfoNCE, MatchingLoss, Pairs
from training.momentum import KeyQueue, MomentumEncoder, momentum_contrast
from training.objective_config import (
    MatchingConfig,
    MomentumConfig,
    ObjectiveConfig,
    PrototypeConfig,
    RelationConfig,
    SemanticPrototypeConfig,
)
from training.prototypes import Keys, Prototypes, SemanticPrototypes
from training.relation import (
    GraphEnhancement,
    Relevance,
    connections,
    fragment_scores,
    intra_modal_correlation,
    join_blocks,
    relevance_divergence,
)
from training.soft_positives import SentenceEmbeddings, soft_positive_loss

P = TypeVar("P", bound=Prototypes)


def matching_loss(config: MatchingConfig) -> MatchingLoss:
    """The matching loss that the config names."""
    if config.loss == "distance_weighted":
        return DistanceWeightedTriplet(config.margin, config.nonzero_cut_off)
    if config.loss == "hard_negative":
        return HardNegativeTriplet(config.margin)
    return InfoNCE(config.temperature)


class RelationPart(nn.Module):
    """L_rel over the local embeddings l and the local features V of a batch."""

    def __init__(self, config: RelationConfig, dimension: int, heads: int, matching: MatchingLoss) -> None:
        super().__init__()
        self.config, self.matching = config, matching
        self.enhancement = GraphEnhancement(
            dimension, heads, convolution=config.graph_convolution, mask_weight=config.mask_weight
        )
        learned = config.relevance == "learned"
        self.image_relevance = Relevance(config.top) if learned else None
        self.text_relevance = Relevance(config.top) if learned else None

    def forward(self, image: Encoding, text: Encoding, pairs: Pairs) -> Tensor:
        """`pairs` holds the normalised local embeddings [N, D] and [M, D]; a scalar."""
        images, texts = pairs.images, pairs.texts
        i2t_scores, t2i_scores = fragment_scores(
            image.local_features,
            image.mask,
            text.local_features,
            text.mask,
            self.config.top,
            normalise=self.config.fragment_scores == "normalised",
        )
        i2t = i2t_scores.mean if self.image_relevance is None else self.image_relevance(i2t_scores)
        t2i = t2i_scores.mean if self.text_relevance is None else self.text_relevance(t2i_scores)
        i2i = intra_modal_correlation(images, images, self.config.sigma)
        t2t = intra_modal_correlation(texts, texts, self.config.sigma)
        connected = join_blocks(
            *(
                connections(block, self.config.connected_fraction)
                for block in (i2i, i2t_scores.mean, t2i_scores.mean, t2t)
            )
        )
        better_images, better_texts = self.enhancement(images, texts, join_blocks(i2i, i2t, t2i, t2t), connected)
        loss = (
            self.matching(pairs._replace(texts=better_texts))
            + self.matching(pairs._replace(images=better_images))
            + self.matching(pairs._replace(images=better_images, texts=better_texts))
        )
        if self.image_relevance is None:
            return loss  # without learned relevance nothing of the divergence has a gradient
        correlation = intra_modal_correlation(images.detach(), texts.detach(), self.config.sigma)
        return loss + self.config.divergence_weight * relevance_divergence(i2t, t2i, correlation)


class MomentumPart(nn.Module):
    """L_moco: a momentum copy of the network, one queue per modality."""

    def __init__(self, config: MomentumConfig, network: AAHR) -> None:
        super().__init__()
        self.config = config
        self.copy = MomentumEncoder(network, config.momentum)
        dimension = network.config.dimension
        self.image_queue = KeyQueue(config.queue, dimension)
        self.text_queue = KeyQueue(config.queue, dimension)

    @property
    def keys(self) -> Keys | None:
        """The keys of earlier batches once both queues are full, else None."""
        return (self.image_queue.keys, self.text_queue.keys) if self.image_queue.full and self.text_queue.full else None

    def forward(self, pairs: Pairs, image_keys: Tensor, text_keys: Tensor) -> Tensor | None:
        """The loss once both queues are full, else None, as with weight 0.

        `pairs` holds the queries, `image_keys` and `text_keys` the momentum embeddings of the same batch.
        """
        loss = None
        ids = pairs.caption_ids
        if self.keys is not None and self.config.weight:
            gathered = pairs.images[pairs.image_of_caption]
            loss = self._contrast(gathered, text_keys, self.text_queue, ids)
            loss = loss + self._contrast(pairs.texts, image_keys[pairs.image_of_caption], self.image_queue, ids)
        self.image_queue.push(image_keys, pairs.image_ids)
        self.text_queue.push(text_keys, ids)
        return loss

    def _contrast(self, query: Tensor, key: Tensor, queue: KeyQueue, ids: Tensor) -> Tensor:
        return momentum_contrast(
            query, key, queue.keys.clone(), query_ids=ids, queue_ids=queue.ids, temperature=self.config.temperature
        )


class Objective(nn.Module):
    """All parts that the config switches on, each started at its share of the planned steps.

    Every process of the group gathers what all have encoded and computes the whole of it.
    """

    def __init__(self, config: ObjectiveConfig, network: AAHR, planned_steps: int, group: Group) -> None:
        super().__init__()
        self.config, self.planned_steps, self.group = config, planned_steps, group
        self.model_config = network.config
        self.matching = matching_loss(config.matching)
        dimension, heads = network.config.dimension, network.config.relation_heads
        self.prototypes = _prototypes(Prototypes, config.prototypes, dimension) if config.prototypes.enabled else None
        self.semantic_prototypes = (
            _prototypes(SemanticPrototypes, config.semantic_prototypes, dimension)
            if config.semantic_prototypes.enabled
            else None
        )
        self.relation = (
            RelationPart(config.relation, dimension, heads, self.matching) if config.relation.enabled else None
        )
        self.momentum = MomentumPart(config.momentum, network) if config.momentum.enabled else None

    def forward(
        self,
        step: int,
        image: Encoding,
        text: Encoding,
        pairs: Pairs,
        keys: tuple[Tensor, Tensor] | None,
        sentence_embeddings: SentenceEmbeddings | None = None,
    ) -> Mapping[str, Tensor]:
        """Weighted loss parts by name: "matching" and those that are on and started; the total is their sum.

        `pairs` holds the fused embeddings; `keys` the momentum embeddings of images [N, D] and captions [M, D];
        `sentence_embeddings` decide the soft positives. All are those of this process; the parts are those of the
        joined batch.
        """
        pairs = gather_pairs(self.group, pairs)
        local = gather_local(self.group, image, text, pairs)
        parts = {"matching": self.matching(pairs)}
        if self.config.local_matching.enabled:
            parts["local_matching"] = self.config.local_matching.weight * self.matching(local)
        progress = step / self.planned_steps
        if self.prototypes is not None and progress >= self.config.prototypes.start:
            parts["prototypes"] = self.config.prototypes.weight * self._cluster(pairs)
        if self.semantic_prototypes is not None:
            loss = self.semantic_prototypes(pairs.images[pairs.image_of_caption], pairs.texts)
            parts["semantic_prototypes"] = self.config.semantic_prototypes.weight * loss
        if self.relation is not None and progress >= self.config.relation.start:
            fragments = (gather_fragments(self.group, encoding) for encoding in (image, text))
            parts["relation"] = self.config.relation.weight * self.relation(*fragments, local)
        if self.momentum is not None and keys is not None:
            queries = local if self.config.momentum.query == "local" else self._contrasted(image, text, pairs)
            contrast = self.momentum(queries, *map(self.group.gather, keys))
            if contrast is not None:
                parts["momentum"] = self.config.momentum.weight * contrast
        if self.config.soft_positives.enabled:
            assert sentence_embeddings is not None, "a recipe with soft positives has sentence embeddings"
            parts["soft_positives"] = self.config.soft_positives.weight * self._soften(pairs, sentence_embeddings)
        return parts

    def _soften(self, pairs: Pairs, own: SentenceEmbeddings) -> Tensor:
        """L_soft over the sentence embeddings of all processes."""
        soft, joined = self.config.soft_positives, SentenceEmbeddings(*map(self.group.gather, own))
        return soft_positive_loss(
            pairs, joined, temperature=soft.temperature, target_temperature=soft.target_temperature
        )

    def _contrasted(self, image: Encoding, text: Encoding, pairs: Pairs) -> Pairs:
        """The queries of the momentum part: of all processes, with their semantics or without."""
        own = (contrasted(encoding, self.model_config) for encoding in (image, text))
        images, texts = (self.group.gather(each) for each in own)
        return pairs._replace(images=images, texts=texts)

    def _cluster(self, pairs: Pairs) -> Tensor:
        """L_proto of the pairs, assigned together with the keys of the queues where the recipe says so."""
        assert self.prototypes is not None
        keys = self.momentum.keys if self.momentum is not None and self.config.prototypes.over_keys else None
        loss: Tensor = self.prototypes(pairs.images[pairs.image_of_caption], pairs.texts, keys)
        return loss


def contrasted(encoding: Encoding, config: ModelConfig) -> Tensor:
    """The embedding [B, D] that the momentum part contrasts: without its semantics where the config says so."""
    if config.semantics is None or config.semantics.momentum == "fused":
        return encoding.embedding
    assert encoding.plain is not None, "a network with semantics keeps what it fused them with"
    return encoding.plain


def gather_pairs(group: Group, own: Pairs) -> Pairs:
    """The pairs of all processes, in the order of the batch that they share; each has the same number of images."""
    return Pairs(
        images=group.gather(own.images),
        texts=group.gather(own.texts),
        image_of_caption=group.gather(own.image_of_caption + group.rank * len(own.images)),
        image_ids=group.gather(own.image_ids),
        neutral=None if own.neutral is None else group.gather(own.neutral),  # over the images of all already
    )


def gather_local(group: Group, image: Encoding, text: Encoding, pairs: Pairs) -> Pairs:
    """norm(l) of all processes in place of the embeddings of their pairs."""
    return pairs._replace(
        images=group.gather(nn.functional.normalize(image.local_embedding, dim=-1)),
        texts=group.gather(nn.functional.normalize(text.local_embedding, dim=-1)),
    )


def gather_fragments(group: Group, own: Encoding) -> Encoding:
    """The local features V of all processes, without gradient, which the relation does not take through them."""
    return own._replace(local_features=group.gather(own.local_features.detach()), mask=group.gather(own.mask))


def _prototypes(kind: type[P], config: PrototypeConfig | SemanticPrototypeConfig, dimension: int) -> P:
    return kind(
        config.count,
        dimension,
        epsilon=config.epsilon,
        iterations=config.iterations,
        temperature=config.temperature,
    )


def total_loss(parts: Mapping[str, Tensor]) -> Tensor:
    """The sum of the parts."""
    return torch.stack(list(parts.values())).sum()
