"""A float checkpoint of ours, such as training writes, as a predictor of bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lmcompress.errors import NotProvenError
from lmcompress.models.checkpoint import load_network
from lmcompress.prove.adapters.forward import ForwardPredictor

if TYPE_CHECKING:
    from lmcompress.prove.adapters.forward import Forward


class Predictor(ForwardPredictor):
    """The network in float32, in windows of 256 bytes that move by 64."""

    window, stride = 256, 64

    def load(self) -> Forward:
        """Returns the network in the current folder."""
        network = load_network(Path()).eval()
        if network.config.vocab_size != 256:
            raise NotProvenError(
                f"a float checkpoint of {network.config.vocab_size} tokens cannot be proven: give "
                "one of bytes, or the model as `lmcompress fetch` installs it"
            )
        self.first = network.config.bos_id
        self.ids = [self.first]

        def forward(ids: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = network(ids)
            return logits

        return forward
