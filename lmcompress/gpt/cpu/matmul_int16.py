"""Products of inputs wider than 8 bits, exact on any processor.

Where AVX2 is at hand, `wide_products_cpu` takes over, else PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import matmul_int16_kernel
from lmcompress.gpt.quantization import ExactWeights

if TYPE_CHECKING:
    from lmcompress.gpt.cpu.matmul_torch import WideProduct


class WideLinear:
    """Weights of one product of wide inputs; takes the place of `engine._Linear`."""

    def __init__(self, weights: ExactWeights, name: str) -> None:
        q, self.scale, bias = weights.linear(name)
        self.bias = np.empty(0, np.float32) if bias is None else bias
        self.width, self.depth = q.shape
        largest = weights.config.activation_levels * int(np.abs(q.astype(np.int64)).sum(1).max())
        self.rows, self.has_kernel = q, matmul_int16_kernel.fits(self.depth, self.width, largest)

    @functools.cached_property
    def by_pytorch(self) -> WideProduct:
        """The same weights as PyTorch takes them."""
        from lmcompress.gpt.cpu.matmul_torch import WideProduct

        return WideProduct(self.rows)

    def bind(self, q: npt.NDArray[Any], out: npt.NDArray[Any]) -> Callable[[], object]:
        """Returns what writes q (M, K) times the weights into out (M, N), both float32.

        q holds integers.
        """
        if self.has_kernel:
            return functools.partial(matmul_int16_kernel.wide_product, q, self.rows, out)
        return self.by_pytorch.bind(q, out)
