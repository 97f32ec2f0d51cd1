"""Products of 16-bit inputs with bytes, exact on any processor: by AVX2, else by PyTorch.

`vpmaddwd` takes 16-bit integers, and bytes widened as they are loaded. Sums are integers, so they
are those of `matmul_torch.FloatProduct`, in a quarter of the time and an eighth of the memory
traffic: weights stay bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.tiles import AVX2_WORDS, COLUMNS, first_supported, make_multiply, pack
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.jit.compiler import kernel

if TYPE_CHECKING:
    from lmcompress.gpt.cpu.matmul_torch import FloatProduct

_GROUP = AVX2_WORDS.group
_multiply = make_multiply(AVX2_WORDS)


class Int16Linear:
    """Weights of one product of 16-bit inputs; takes the place of `engine._Linear`."""

    def __init__(self, weights: ExactWeights, name: str) -> None:
        q, self.scale, bias = weights.linear(name)
        self.bias = np.empty(0, np.float32) if bias is None else bias
        self.width, self.depth = q.shape
        largest = int(np.abs(q, dtype=np.int16).sum(axis=1, dtype=np.int64).max())
        largest *= weights.config.activation_levels
        self.rows, self.has_kernel = q, fits(self.depth, self.width, largest)

    @functools.cached_property
    def panels(self) -> npt.NDArray[np.int8]:
        """The weights as `product` takes them."""
        return pack(self.rows, _GROUP)

    @functools.cached_property
    def by_pytorch(self) -> FloatProduct:
        """The same weights as PyTorch takes them."""
        from lmcompress.gpt.cpu.matmul_torch import FloatProduct

        return FloatProduct(self.rows)

    def bind(self, q: npt.NDArray[Any], out: npt.NDArray[Any]) -> Callable[[], object]:
        """Returns what writes q (M, K) times the weights into out (M, N), both float32.

        q holds integers.
        """
        if self.has_kernel:
            return functools.partial(product, q, self.panels, out)
        return self.by_pytorch.bind(q, out)


@kernel
def product_columns(q, w_at, out, first, stop):
    """out[:, first:stop] = float32(q @ w.T[:, first:stop]); panels of w (N, K) lie at an address.

    q, float32 integers (M, K), and out, float32 (M, N). K is even, and first and stop multiples of
    COLUMNS; inputs fit into 16 bits and sums into 32.
    """
    num_rows, depth = q.shape
    words = np.empty((num_rows, depth), np.int16)
    for m in range(num_rows):
        for k in range(depth):
            words[m, k] = np.int16(q[m, k])
    q_at, out_at = words.ctypes.data, out.ctypes.data + 4 * first
    count, width = stop - first, out.shape[1]
    _multiply(q_at, q_at, w_at + first * depth, out_at, num_rows, depth, count, width)
    sums = out.view(np.int32)  # they lie where the floats are to be
    for m in range(num_rows):
        for n in range(first, stop):
            out[m, n] = np.float32(sums[m, n])
    words[0, 0] = 0  # only its address was used above: keeps it alive until here


@kernel
def product(q, w, out):
    """out = float32(q @ w.T); panels of w; q and out as for `product_columns`."""
    product_columns(q, w.ctypes.data, out, 0, out.shape[1])


def fits(depth: int, width: int, largest_sum: int) -> bool:
    """Whether a product of this shape, with sums of at most this size, can be computed here."""
    shape_fits = depth % _GROUP == 0 and width % COLUMNS == 0
    return shape_fits and largest_sum < 1 << 31 and is_usable()


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instructions, numba may use them, and known answers come."""
    if first_supported(AVX2_WORDS) is None:
        return False
    rng = np.random.default_rng(1)
    most = AVX2_WORDS.rows[0]
    for num_rows in (1, most, 2 * most - 1):
        for low, high in ((-32767, 32768), (32767, 32768), (-32767, -32766)):
            q = rng.integers(low, high, (num_rows, 256)).astype(np.float32)
            w = rng.integers(-127, 128, (COLUMNS, 256)).astype(np.int8)
            w[0], w[1] = 127, -127
            out = np.empty((num_rows, COLUMNS), np.float32)
            try:
                product(q, pack(w, _GROUP), out)
            except Exception:  # another LLVM may know the instruction by another name
                return False
            if not np.array_equal(out, (q.astype(np.int64) @ w.T.astype(np.int64)).astype("f4")):
                return False
    return True
