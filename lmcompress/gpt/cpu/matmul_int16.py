"""Products of wide inputs with bytes, exact on any processor: by its own instructions or PyTorch.

AVX2's `vpmaddwd` takes 16-bit integers, and bytes widened as they are loaded. VNNI and NEON
multiply bytes: inputs become two signed digits. Sums are integers, so they are those of
`matmul_torch.FloatProduct`, in a quarter of the time and an eighth of the memory traffic: weights
stay bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import tiles
from lmcompress.gpt.cpu.tiles import AVX2_WORDS, COLUMNS, NEON_DIGITS, VNNI_DIGITS, first_supported
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.jit.compiler import device_function, kernel

if TYPE_CHECKING:
    from lmcompress.gpt.cpu.matmul_torch import FloatProduct

_SETS = (VNNI_DIGITS, AVX2_WORDS, NEON_DIGITS)
_ISA = first_supported(*_SETS) or AVX2_WORDS  # where none is supported, nothing calls it
_HAS_DIGITS = _ISA.digits == 2
_LARGEST = 127 * 256 + 127 if _HAS_DIGITS else 32767
"""The largest input: both digits are signed bytes."""
_multiply = tiles.make_multiply(_ISA)


class Int16Linear:
    """Weights of one product of 16-bit inputs; takes the place of `model.Int8Linear`."""

    def __init__(self, weights: ExactWeights, name: str) -> None:
        q, self.scale, bias = weights.linear(name)
        self.bias = np.empty(0, np.float32) if bias is None else bias
        self.width, self.depth = q.shape
        levels = weights.config.activation_levels
        largest = levels * int(np.abs(q, dtype=np.int16).sum(axis=1, dtype=np.int64).max())
        self.rows, self.has_kernel = q, fits(self.depth, self.width, levels, largest)

    @functools.cached_property
    def panels(self) -> npt.NDArray[np.int8]:
        """The weights as `product` takes them."""
        return pack(self.rows)

    @functools.cached_property
    def by_pytorch(self) -> FloatProduct:
        """The same weights as PyTorch takes them."""
        from lmcompress.gpt.cpu.matmul_torch import FloatProduct

        return FloatProduct(self.rows)

    def uses_pytorch(self, _num_rows: int) -> bool:
        """Whether PyTorch computes products of so many rows."""
        return not self.has_kernel

    def bind(self, q: npt.NDArray[Any], out: npt.NDArray[Any]) -> Callable[[], object]:
        """Returns what writes q (M, K) times the weights into out (M, N), both float32.

        q holds integers.
        """
        if self.has_kernel:
            return functools.partial(product, q, self.panels, out)
        return self.by_pytorch.bind(q, out)


def _digits(q):
    """Inputs 256 * upper + lower, and where rows' sums start: VNNI's weights are 128 too large."""
    num_rows, depth = q.shape
    lower, upper = np.empty((num_rows, depth), np.int8), np.empty((num_rows, depth), np.int8)
    starts = np.empty(num_rows, np.int32)
    for m in range(num_rows):
        total = np.int32(0)
        for k in range(depth):
            x = np.int32(q[m, k])
            digit = np.int8(x)
            lower[m, k] = digit
            upper[m, k] = (x - digit) >> 8
            total += x
        starts[m] = -128 * total
    return lower, upper, starts


def _words(q):
    """Inputs as 16-bit integers, twice, and no sums to start at."""
    words = np.empty(q.shape, np.int16)
    for m in range(q.shape[0]):
        for k in range(q.shape[1]):
            words[m, k] = np.int16(q[m, k])
    return words, words, np.empty(1, np.int32)


_taken = device_function(_digits if _HAS_DIGITS else _words)


@kernel
def product_columns(q, w_at, _is_unsigned, out, first, stop):
    """out[:, first:stop] = float32(q @ w.T[:, first:stop]); panels of w (N, K) lie at an address.

    q, float32 integers (M, K), and out, float32 (M, N). First and stop are multiples of COLUMNS;
    inputs fit into 16 bits and sums into 32.
    """
    num_rows, depth = q.shape
    lower, upper, starts = _taken(q)
    q_at, p_at, starts_at = lower.ctypes.data, upper.ctypes.data, starts.ctypes.data
    count, width = stop - first, out.shape[1]
    w_at, out_at = w_at + first * depth, out.ctypes.data + 4 * first
    _multiply(q_at, p_at, w_at, starts_at, out_at, num_rows, depth, count, width)
    sums = out.view(np.int32)  # they lie where the floats are to be
    for m in range(num_rows):
        for n in range(first, stop):
            out[m, n] = np.float32(sums[m, n])
    starts[0] = lower[0, 0] + upper[0, 0]  # only addresses were used: keeps them alive until here


@kernel
def product(q, w, out):
    """out = float32(q @ w.T); panels of w; q and out as for `product_columns`."""
    product_columns(q, w.ctypes.data, False, out, 0, out.shape[1])


def pack(w: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Lays weights (N, K) out as `product` takes them."""
    return tiles.pack(w, _ISA)


def fits(depth: int, width: int, largest_input: int, largest_sum: int) -> bool:
    """Whether a product of this shape, with inputs and sums of such sizes, can be computed here."""
    shape_fits = depth % _ISA.group == 0 and width % COLUMNS == 0
    sizes_fit = largest_input <= _LARGEST and largest_sum < 1 << 31
    return shape_fits and sizes_fit and is_usable()


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instructions, numba may use them, and known answers come."""
    if first_supported(*_SETS) is None:
        return False
    rng = np.random.default_rng(1)
    most, top = _ISA.rows[0], _LARGEST
    for num_rows in (1, most, 2 * most - 1):
        for low, high in ((-top, top + 1), (top, top + 1), (-top, 1 - top)):
            q = rng.integers(low, high, (num_rows, 256)).astype(np.float32)
            w = rng.integers(-127, 128, (COLUMNS, 256)).astype(np.int8)
            w[0], w[1] = 127, -127
            out = np.empty((num_rows, COLUMNS), np.float32)
            try:
                product(q, pack(w), out)
            except Exception:  # another LLVM may know the instruction by another name
                return False
            if not np.array_equal(out, (q.astype(np.int64) @ w.T.astype(np.int64)).astype("f4")):
                return False
    return True
