"""Products of inputs wider than 8 bits, exact in float32 on any processor.

Where AVX2 is at hand, `wide_products_cpu` takes over. Else an input q is cut into 256 * high + low
with |low| <= 128 and |high| <= 128: integers that float32, bf16 and TF32 hold alike. Both products
stay below 2**24, so their sums are exact, and adding them rounds once: the same float32 as the
rounded exact sum.
"""

from __future__ import annotations

import numpy as np
import torch

from lmcompress.gpt import wide_products_cpu
from lmcompress.gpt.quantization import ExactWeights

_PART = 256


class WideLinear:
    """Weights of one product of wide inputs; takes the place of `engine_cpu._Linear`."""

    def __init__(self, weights: ExactWeights, name: str) -> None:
        q, self.scale, bias = weights.linear(name)
        self.bias = np.empty(0, np.float32) if bias is None else bias
        self.width, self.depth = q.shape
        largest = int(np.abs(q.astype(np.int64)).sum(1).max())
        levels = weights.config.activation_levels
        self.rows = q if wide_products_cpu.fits(self.depth, self.width, levels * largest) else None
        if self.rows is not None:
            return
        bound = _PART // 2 * largest
        dtype = torch.float32 if bound < 1 << 24 else torch.float64
        self.weight = torch.tensor(q).to(dtype).T.contiguous()  # (K, N)

    def product(self, q: torch.Tensor, out: torch.Tensor) -> None:
        """Writes q (M, K), integer-valued float32, times the weights into out (M, N) float32."""
        if self.rows is not None:
            wide_products_cpu.wide_product(q.numpy(), self.rows, out.numpy())
            return
        with torch.autocast("cpu", enabled=False):  # it would round the sums to bf16
            if self.weight.dtype == torch.float64:
                out.copy_(torch.mm(q.double(), self.weight))
                return
            high = torch.round(q * (1 / _PART))
            torch.mm(q - high * _PART, self.weight, out=out)
            out += torch.mm(high, self.weight) * _PART
