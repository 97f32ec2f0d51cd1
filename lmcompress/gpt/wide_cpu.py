"""Products of inputs wider than 8 bits, exact in float32 on any processor.

An input q is cut into 256 * high + low with |low| <= 128 and |high| <= 128: integers that float32,
bf16 and TF32 hold alike. Both products stay below 2**24, so their sums are exact, and adding them
rounds once: the same float32 as the rounded exact sum.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lmcompress.gpt.quantization import ExactWeights

_PART = 256


class WideLinear:
    """Weights of one product of wide inputs; takes the place of `engine_cpu._Linear`."""

    def __init__(self, weights: ExactWeights, name: str) -> None:
        q, self.scale, bias = weights.linear(name)
        self.bias = np.empty(0, np.float32) if bias is None else bias
        self.width, self.depth = q.shape
        bound = _PART // 2 * int(np.abs(q.astype(np.int64)).sum(1).max())
        dtype = torch.float32 if bound < 1 << 24 else torch.float64
        self.weight = torch.tensor(q).to(dtype).T.contiguous()  # (K, N)

    def bind(self, q: npt.NDArray[Any], out: npt.NDArray[Any]) -> Callable[[], object]:
        """Returns what writes q (M, K) times the weights into out (M, N), both float32.

        q holds integers.
        """
        return functools.partial(self._multiply, torch.from_numpy(q), torch.from_numpy(out))

    def _multiply(self, q: torch.Tensor, out: torch.Tensor) -> None:
        with torch.autocast("cpu", enabled=False):  # it would round the sums to bf16
            if self.weight.dtype == torch.float64:
                out.copy_(torch.mm(q.double(), self.weight))
                return
            high = torch.round(q * (1 / _PART))
            torch.mm(q - high * _PART, self.weight, out=out)
            out += torch.mm(high, self.weight) * _PART
