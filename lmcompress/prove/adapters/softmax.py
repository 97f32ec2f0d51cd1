"""Logits into probabilities, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def softmax(logits: Any) -> npt.NDArray[np.float64]:
    """Returns the probabilities of logits (..., V), NumPy or a tensor, as float64 (..., V)."""
    if hasattr(logits, "detach"):
        logits = logits.detach().cpu().double().numpy()
    shifted = np.asarray(logits, np.float64)
    powers = np.exp(shifted - shifted.max(-1, keepdims=True))
    found: npt.NDArray[np.float64] = powers / powers.sum(-1, keepdims=True)
    return found
