"""Integer products of the CPU path, callable from other numba kernels; `tiles.py` computes them.

PyTorch's int8 product is fast where oneDNN has instructions for it, and for hundreds of rows; it
repacks the weights at every call and goes through Python.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import tiles
from lmcompress.gpt.cpu.kernels import (
    LEVELS,
    PER_LEVEL,
    RELU2,
    activate_quantize,
    add_norm_quantize,
)
from lmcompress.gpt.cpu.tiles import AVX2, AVX2_UNSIGNED, COLUMNS, VNNI, first_supported
from lmcompress.jit.compiler import kernel

_ISA = first_supported(VNNI, AVX2) or AVX2  # where neither is supported, nothing calls it
_SHIFTS = _ISA is VNNI
_multiply = tiles.make_multiply(_ISA)
_multiply_unsigned = tiles.make_multiply(VNNI if _SHIFTS else AVX2_UNSIGNED)
_GRID = (LEVELS, PER_LEVEL)


@kernel
def product(q, w, offset, is_unsigned, out):
    """out = q @ w.T, int8 (M, K) and panels of (N, K) to int32 (M, N).

    `offset` is what `offsets` gives; `is_unsigned` says that no activation is negative.
    """
    num_rows, depth = q.shape
    width = out.shape[1]
    q_at, w_at, out_at = q.ctypes.data, w.ctypes.data, out.ctypes.data
    if is_unsigned and not _SHIFTS:
        _multiply_unsigned(q_at, q_at, w_at, out_at, num_rows, depth, width, width)
        return
    taken = np.empty((num_rows, depth), np.int8)
    for m in range(num_rows):
        for k in range(depth):
            taken[m, k] = q[m, k] ^ np.int8(-128) if _SHIFTS else abs(q[m, k])
    _multiply(q_at, taken.ctypes.data, w_at, out_at, num_rows, depth, width, width)
    if _SHIFTS:
        for m in range(num_rows):
            for n in range(width):
                out[m, n] -= offset[n]
    taken[0, 0] = 0  # only its address was used above: keeps it alive until here


@kernel
def attention_to_next(
    x, s, eps, activation, table, tails,
    q_proj, w_proj, o_proj, s_proj, b_proj, sums,
    norm_2, gain_2, bias_2, q_up, w_up, o_up, s_up, b_up, sums_up,
    q_down, w_down, o_down, s_down, b_down,
    norm_1, gain_1, bias_1, w_next, o_next, sums_next,
):  # fmt: skip
    """From one layer's attention to the sums that the next layer's attention (or output) reads.

    One call instead of seven: threads of lanes meet at Python's lock less often.
    """
    product(q_proj, w_proj, o_proj, False, sums)
    add_norm_quantize(x, sums, s, s_proj, b_proj, norm_2, gain_2, bias_2, eps, q_up, *_GRID)
    product(q_up, w_up, o_up, False, sums_up)
    activate_quantize(sums_up, s, s_up, b_up, activation, table, tails, q_down, *_GRID)
    product(q_down, w_down, o_down, activation == RELU2, sums)
    add_norm_quantize(x, sums, s, s_down, b_down, norm_1, gain_1, bias_1, eps, q_up, *_GRID)
    product(q_up, w_next, o_next, False, sums_next)


def fits(w: npt.NDArray[np.int8]) -> bool:
    """Whether products with weights (N, K) can be computed here: -128 has no opposite in a byte."""
    width, depth = w.shape
    shape_fits = depth % _ISA.group == 0 and width % COLUMNS == 0
    return shape_fits and is_usable() and int(w.min()) > -128


def beats_pytorch(num_rows: int) -> bool:
    """Whether these products are faster than PyTorch's for so many rows, as measured."""
    return _ISA is AVX2 or num_rows <= 32


def pack(w: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Lays weights (N, K) out as `product` takes them."""
    return tiles.pack(w, _ISA.group)


def offsets(w: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """Returns what must be taken off each sum: 128 times the weight row's sum, or nothing."""
    if not _SHIFTS:
        return np.empty(0, np.int32)
    sums: npt.NDArray[np.int64] = 128 * w.astype(np.int64).sum(axis=1)
    return sums.astype(np.int32)


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instructions, numba may use them, and known answers come."""
    if first_supported(VNNI, AVX2) is None:
        return False
    rng = np.random.default_rng(1)
    for num_rows in (1, _ISA.rows[0], 2 * _ISA.rows[0] - 1):
        for low, high in ((-127, 128), (127, 128), (-127, -126), (0, 128)):
            q = rng.integers(low, high, (num_rows, 256)).astype(np.int8)
            w = rng.integers(-127, 128, (COLUMNS, 256)).astype(np.int8)
            w[0], w[1] = 127, -127
            out = np.empty((num_rows, COLUMNS), np.int32)
            try:
                product(q, pack(w), offsets(w), low >= 0, out)
            except Exception:  # another LLVM may know the instruction by another name
                return False
            if not np.array_equal(out, q.astype(np.int64) @ w.T.astype(np.int64)):
                return False
    return True
