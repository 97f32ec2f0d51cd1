"""Training a network of any family on the same windows, with the project's trainer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from experiments.support.families.layout import NOTHING, NUM_SYMBOLS, WINDOW, Family, example
from experiments.support.families.network import Network
from experiments.support.runs import Run, finished_run
from lmcompress.gpt.config import GPTConfig
from lmcompress.models.checkpoint import WEIGHTS_FILE
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer


def shape_of(family: Family, model: GPTConfig) -> GPTConfig:
    """Returns the shape of a family's network, from that of all."""
    return dataclasses.replace(
        model, vocab_size=NUM_SYMBOLS, bos_id=NOTHING, mlp_hidden=family.mlp_hidden
    )


def trained(family: Family, config: TrainConfig, folder: Path) -> tuple[Network, Run]:
    """Returns the finished network of a family, trained if need be, and its run."""
    shape = shape_of(family, config.model)
    config = dataclasses.replace(config, name=family.name, model=shape)

    class FamilyTrainer(Trainer):
        """Trains the network of this family."""

        def new_network(self) -> Any:
            return Network(self.config.model, family)

        def _train_step(self, step: int) -> float:
            # What is hidden depends on the step alone, as the text does.
            self.generator = torch.Generator().manual_seed(self.config.seed << 32 | step)
            return super()._train_step(step)

        def validate(self) -> dict[str, Any]:
            self.generator = torch.Generator().manual_seed(0)
            return super().validate()

        def _loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
            reading, bytes_, weights = example(family, targets, self.generator)
            logits = self.forward(reading).flatten(0, 1)
            nats = F.cross_entropy(logits, bytes_.flatten(), reduction="none")
            return (nats * weights.flatten()).sum()

    run = finished_run(config, folder, trainer=FamilyTrainer)
    network = Network(shape, family)
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return network.eval(), run


def training_flops(network: Network) -> int:
    """Returns the floating-point operations of training on one window, as PyTorch counts them.

    All scores of attention count, hidden ones too: that is how they are computed.
    """
    window = torch.zeros(1, WINDOW, dtype=torch.int64)
    reading = example(network.family, window, torch.Generator().manual_seed(0)).reading
    products = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), products, torch.no_grad():
        network(reading)
    return 3 * products.get_total_flops()  # the backward pass takes two products for each
