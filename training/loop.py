"""One training step and the state that it changes; a resumed run equals an uninterrupted one."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import TrainingError
from model.nn.aahr import AAHR
from training.config import OptimiserConfig, TrainingConfig
from training.data.batches import Batch
from training.losses import Pairs
from training.momentum import MomentumEncoder
from training.objective import Objective, total_loss


def learning_rate_factor(config: OptimiserConfig, step: int, planned_steps: int) -> float:
    """What the base rate is multiplied by at a step: linear warm-up, then steps or half a cosine."""
    progress = step / planned_steps
    warm = min(1.0, (step + 1) / (config.warm_up * planned_steps)) if config.warm_up else 1.0
    if config.schedule == "cosine":
        return warm * 0.5 * (1.0 + math.cos(math.pi * progress))
    return warm * config.decay ** sum(progress >= milestone for milestone in config.milestones)


def build_optimiser(config: OptimiserConfig, network: AAHR, objective: Objective) -> torch.optim.AdamW:
    """AdamW over the network and the learnable parts of the objective; a text backbone has its own, smaller rate."""
    backbone = [] if network.text_backbone is None else list(network.text_backbone.parameters())
    known = {id(parameter) for parameter in backbone}
    rest = [
        parameter
        for module in (network, objective)
        for parameter in module.parameters()
        if parameter.requires_grad and id(parameter) not in known
    ]
    groups = [{"params": rest, "base": config.learning_rate}]
    if backbone:
        groups.append({"params": backbone, "base": config.learning_rate * config.backbone_factor})
    return torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


class Trainer:
    """Network, objective, optimiser and counters of one run on one device."""

    def __init__(self, config: TrainingConfig, network: AAHR, planned_steps: int, device: torch.device) -> None:
        self.config, self.planned_steps, self.device = config, planned_steps, device
        self.network = network.to(device)
        self.objective = Objective(config.objective, network, planned_steps).to(device)
        self.optimiser = build_optimiser(config.optimiser, self.network, self.objective)
        average = config.optimiser.average
        self.average = None if average is None else MomentumEncoder(self.network, average).to(device)
        self.step = 0

    @property
    def evaluated(self) -> AAHR:
        """The network that is evaluated and saved: the average of the weights where the recipe keeps one."""
        network = self.network if self.average is None else self.average.encoder
        assert isinstance(network, AAHR)
        return network

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One optimisation step; gives the loss parts by name. Raises TrainingError for a loss that is not finite."""
        self.network.train()
        self.objective.train()
        batch = to_device(batch, self.device)
        parts = self._loss_parts(batch)
        values = {name: float(part.detach()) for name, part in parts.items()}
        self._refuse_not_finite(values)
        self.optimiser.zero_grad(set_to_none=True)
        total_loss(parts).backward()  # type: ignore[no-untyped-call]
        self._clip()
        factor = learning_rate_factor(self.config.optimiser, self.step, self.planned_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor
        self.optimiser.step()
        self.step += 1
        self._follow()
        return values

    def _loss_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        image = self.network.encode_images(batch.images)
        text = self.network.encode_texts(batch.texts)
        pairs = Pairs(image.embedding, text.embedding, batch.image_of_caption, batch.image_ids)
        parts: Mapping[str, Tensor] = self.objective(self.step, image, text, pairs, self._momentum_keys(batch))
        return parts

    def _momentum_keys(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        if self.objective.momentum is None:
            return None
        slow = self.objective.momentum.copy.encoder
        assert isinstance(slow, AAHR)
        with torch.no_grad():
            return slow.encode_images(batch.images).embedding, slow.encode_texts(batch.texts).embedding

    def _refuse_not_finite(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"loss part '{name}' is {value} at step {self.step}: lower optimiser.learning_rate, or switch "
                    f"objective.{name} off to see whether it is the cause"
                )

    def _clip(self) -> None:
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.optimiser.gradient_clip)
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
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
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
            torch.cuda.set_rng_state_all(state["random_cuda"])


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch with all its tensors on a device."""
    return Batch(
        images=type(batch.images)(*(tensor.to(device) for tensor in batch.images)),
        texts=type(batch.texts)(*(tensor.to(device) for tensor in batch.texts)),
        image_of_caption=batch.image_of_caption.to(device),
        image_ids=batch.image_ids.to(device),
    )
