"""Quantization-aware training: products of rounded values, as in exact evaluation.

In the forward pass, weights and the inputs of all products are rounded to int8, one scale per row;
in the backward pass, gradients pass as if nothing was rounded (the straight-through estimator:
Bengio et al., 2013).
What attention makes of its scores is not rounded: exact evaluation has 2,047 levels for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lmcompress.gpt.constants import MAX_ACTIVATION, TINY
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer

_ROUNDED: dict[Callable[..., Any], tuple[int, ...]] = {
    F.linear: (0, 1),
    F.embedding: (1,),
    F.scaled_dot_product_attention: (0, 1, 2),
}
"""Which arguments of a function are rounded."""


def rounded(x: Tensor) -> Tensor:
    """Returns x, float32 (..., K), on a grid of 127 levels either way for each row.

    The gradient is that of x itself.
    """
    x = x.float()
    scale = x.detach().abs().amax(-1, keepdim=True).clamp(min=TINY) / MAX_ACTIVATION
    return x + (torch.round(x / scale) * scale - x).detach()


class Rounding(TorchFunctionMode):
    """While it is active, products take rounded values."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Calls a function, with those of its arguments rounded that are multiplied."""
        chosen = _ROUNDED.get(func, ())
        args = tuple(rounded(x) if i in chosen else x for i, x in enumerate(args))
        return func(*args, **(kwargs or {}))


class QuantizedTrainer(Trainer):
    """Trains with rounding, validates without: its figures are those of the float network."""

    def __init__(self, config: TrainConfig, out: Path, device: str = "cpu") -> None:
        super().__init__(config, out, device)
        self._plain = self.forward
        self._under_rounding = torch.compile(self._rounded) if config.compile else self._rounded
        self.method = {"rounds_products": True}

    def _rounded(self, inputs: Tensor) -> Tensor:
        with Rounding():
            return self.parallel(inputs)

    def _training_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self.forward = self._under_rounding
        try:
            return super()._training_loss(inputs, targets)
        finally:
            self.forward = self._plain
