"""One training step and the state that it changes; a resumed run equals an uninterrupted one."""

import copy
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import TrainingError
from model.nn.aahr import AAHR
from model.nn.encoder import Encoding
from model.nn.image_encoder import JointBatchNorm
from training.config import OptimiserConfig, TrainingConfig
from training.data.batches import Batch
from training.device import move
from training.distributed import Draw, Group
from training.losses import Pairs
from training.momentum import MomentumEncoder
from training.objective import Objective, contrasted, total_loss
from training.precision import autocast, in_fp32


def learning_rate_factor(config: OptimiserConfig, step: int, planned_steps: int) -> float:
    """What the base rate is multiplied by at a step: linear warm-up, then steps or half a cosine."""
    progress = step / planned_steps
    warm = min(1.0, (step + 1) / (config.warm_up * planned_steps)) if config.warm_up else 1.0
    if config.schedule == "cosine":
        return warm * 0.5 * (1.0 + math.cos(math.pi * progress))
    return warm * config.decay ** sum(progress >= milestone for milestone in config.milestones)


def build_optimiser(config: OptimiserConfig, network: AAHR, objective: Objective) -> torch.optim.AdamW:
    """AdamW over the network and the learnable parts of the objective; fine-tuned backbones have rates of their own."""
    text, tail = trained_parameters(network.text_backbone), trained_parameters(network.image_tail)
    known = {id(parameter) for parameter in (*text, *tail)}
    both = (*trained_parameters(network), *trained_parameters(objective))
    factors = (
        ([parameter for parameter in both if id(parameter) not in known], 1.0),
        (text, config.backbone_factor),
        (tail, config.tail_factor),
    )
    groups = [
        {"params": parameters, "base": config.learning_rate * factor} for parameters, factor in factors if parameters
    ]
    on_gpu = next(network.parameters()).is_cuda
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=on_gpu or None)


def trained_parameters(module: nn.Module | None) -> list[nn.Parameter]:
    """The parameters that get a gradient."""
    return [] if module is None else [parameter for parameter in module.parameters() if parameter.requires_grad]


class Trainer:
    """Network, objective, optimiser and counters of one run on one device, in step with the others of a group."""

    def __init__(
        self,
        config: TrainingConfig,
        network: AAHR,
        planned_steps: int,
        device: torch.device,
        group: Group | None = None,
    ) -> None:
        self.config, self.planned_steps, self.device = config, planned_steps, device
        self.group = group or Group()
        self.network = network.to(device)
        self.objective = Objective(config.objective, network, planned_steps, self.group).to(device)
        self.optimiser = build_optimiser(config.optimiser, self.network, self.objective)
        average = config.optimiser.average
        self.average = None if average is None else MomentumEncoder(self.network, average).to(device)
        self.step = 0
        if self.group.size > 1:
            join_batch_norms(self.network, self.group)
            modules = (self.network, self.objective, *filter(None, [self.average]))
            self.group.broadcast(tensor for module in modules for tensor in module.state_dict().values())

    @property
    def evaluated(self) -> AAHR:
        """The network that is evaluated and saved: the average of the weights where the recipe keeps one."""
        network = self.network if self.average is None else self.average.encoder
        assert isinstance(network, AAHR)
        return network

    def train_step(self, *batches: Batch) -> dict[str, float]:
        """One optimisation step with the mean of the gradients of the batches; returns the mean loss parts by name.

        Each batch holds this process's share. Raises TrainingError for a loss that is not finite.
        """
        self.network.train()
        self.objective.train()
        self.optimiser.zero_grad(set_to_none=True)
        means: defaultdict[str, float] = defaultdict(float)
        for place, batch in enumerate(batches):
            parts = self._loss_parts(to_device(batch, self.device), place)
            for name, value in self._finite_values(parts).items():
                means[name] += value / len(batches)
            (total_loss(parts) / len(batches)).backward()  # type: ignore[no-untyped-call]
        self.group.average_gradients(self._parameters())
        self._clip()
        factor = learning_rate_factor(self.config.optimiser, self.step, self.planned_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor
        self.optimiser.step()
        self.step += 1
        self._follow()
        return dict(means)

    def _loss_parts(self, batch: Batch, place: int) -> Mapping[str, Tensor]:
        with self.group.forked_rng(Draw.DROPOUT, self.config.seed, self.step, place):
            image, text = self._encode(self.network, batch)
        pairs = Pairs(image.embedding, text.embedding, batch.image_of_caption, batch.image_ids, batch.neutral)
        keys = self._momentum_keys(batch)
        parts: Mapping[str, Tensor] = self.objective(self.step, image, text, pairs, keys, batch.sentence_embeddings)
        return parts

    def _encode(self, network: AAHR, batch: Batch) -> tuple[Encoding, Encoding]:
        with autocast(self.config.precision, self.device):
            images, texts = (None, None) if batch.semantics is None else batch.semantics
            image, text = network.encode_images(batch.images, images), network.encode_texts(batch.texts, texts)
        return in_fp32(image), in_fp32(text)

    def _momentum_keys(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        if self.objective.momentum is None:
            return None
        slow = self.objective.momentum.copy.encoder
        assert isinstance(slow, AAHR)
        with torch.no_grad():
            image, text = self._encode(slow, batch)
        return contrasted(image, slow.config), contrasted(text, slow.config)

    def _finite_values(self, parts: Mapping[str, Tensor]) -> dict[str, float]:
        values = dict(zip(parts, torch.stack(list(parts.values())).tolist(), strict=True))
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"loss part '{name}' is {value} at step {self.step}: lower optimiser.learning_rate, or switch "
                    f"objective.{name} off to see whether it is the cause"
                )
        return values

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]

    def _clip(self) -> None:
        norm = nn.utils.clip_grad_norm_(self._parameters(), self.config.optimiser.gradient_clip)
        if not torch.isfinite(norm):
            raise TrainingError(f"the gradient is {float(norm)} at step {self.step}: lower optimiser.learning_rate")

    def _follow(self) -> None:
        if self.objective.momentum is not None:
            self.objective.momentum.copy.update(self.network)
        if self.average is not None:
            self.average.update(self.network)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, random state included."""
        return {
            "network": self.network.state_dict(),
            "objective": self.objective.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.network.load_state_dict(state["network"])
        self.objective.load_state_dict(state["objective"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))
        self.step = state["step"]
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], self.device)


def join_batch_norms(network: AAHR, group: Group) -> None:
    """Let the statistics in training be those of the batch of all processes."""
    for module in network.modules():
        if isinstance(module, JointBatchNorm):
            module.joint_sum = group.sum


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch with all its tensors on a device."""
    return Batch(
        images=move(batch.images, device),
        texts=move(batch.texts, device),
        image_of_caption=batch.image_of_caption.to(device),
        image_ids=batch.image_ids.to(device),
        sentence_embeddings=None if batch.sentence_embeddings is None else move(batch.sentence_embeddings, device),
        neutral=None if batch.neutral is None else batch.neutral.to(device),
        semantics=None if batch.semantics is None else move(batch.semantics, device),
    )
