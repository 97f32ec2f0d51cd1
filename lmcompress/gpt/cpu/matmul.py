"""Integer products of the CPU path, callable from other numba kernels; `tiles.py` computes them.

PyTorch's int8 product is fast where oneDNN has instructions for it, and for hundreds of rows; it
repacks the weights at every call and goes through Python.
"""

from __future__ import annotations

import functools

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu import tiles
from lmcompress.gpt.cpu.tiles import AVX2, AVX2_UNSIGNED, COLUMNS, NEON, VNNI, first_supported
from lmcompress.jit.compiler import device_function, kernel

_SETS = (VNNI, AVX2, NEON)
_ISA = first_supported(*_SETS) or AVX2  # where none is supported, nothing calls it
_IS_AVX2 = _ISA is AVX2
_multiply = tiles.make_multiply(_ISA)
_multiply_unsigned = tiles.make_multiply(AVX2_UNSIGNED if _IS_AVX2 else _ISA)


def _summed(q):
    """Inputs as VNNI takes them, twice, and where each row's sums start."""
    starts = np.empty(q.shape[0], np.int32)
    for m in range(q.shape[0]):
        total = np.int32(0)
        for k in range(q.shape[1]):
            total += np.int32(q[m, k])
        starts[m] = -128 * total
    return q, starts


def _magnitudes(q):
    """Inputs as AVX2 takes them, and no sums to start at."""
    taken = np.empty(q.shape, np.int8)
    for m in range(q.shape[0]):
        for k in range(q.shape[1]):
            taken[m, k] = abs(q[m, k])
    return taken, np.empty(1, np.int32)


def _unchanged(q):
    """Inputs as NEON takes them, twice, and no sums to start at."""
    return q, np.empty(1, np.int32)


_taken = device_function({VNNI: _summed, AVX2: _magnitudes, NEON: _unchanged}[_ISA])


@kernel
def product_columns(q, w_at, is_unsigned, out, first, stop):
    """out[:, first:stop] = (q @ w.T)[:, first:stop]; panels of w (N, K) lie at an address.

    q, int8 (M, K), and out, int32 (M, N); first and stop are multiples of COLUMNS. `is_unsigned`
    says that no input is negative.
    """
    num_rows, depth = q.shape
    count, width = stop - first, out.shape[1]
    q_at, w_at, out_at = q.ctypes.data, w_at + first * depth, out.ctypes.data + 4 * first
    if is_unsigned and _IS_AVX2:
        _multiply_unsigned(q_at, q_at, w_at, q_at, out_at, num_rows, depth, count, width)
        return
    taken, starts = _taken(q)
    p_at, starts_at = taken.ctypes.data, starts.ctypes.data
    _multiply(q_at, p_at, w_at, starts_at, out_at, num_rows, depth, count, width)
    starts[0] = taken[0, 0]  # only addresses were used above: keeps both alive until here


@kernel
def product(q, w, is_unsigned, out):
    """out = q @ w.T; panels of w; q and out as for `product_columns`."""
    product_columns(q, w.ctypes.data, is_unsigned, out, 0, out.shape[1])


def fits(w: npt.NDArray[np.int8]) -> bool:
    """Whether products with weights (N, K) can be computed here: -128 has no opposite in a byte."""
    width, depth = w.shape
    shape_fits = depth % _ISA.group == 0 and width % COLUMNS == 0
    return shape_fits and is_usable() and int(w.min()) > -128


def beats_pytorch(num_rows: int) -> bool:
    """Whether these products are at least as fast as PyTorch's for so many rows, as measured."""
    return num_rows <= 32 or not _has_amx()


@functools.cache
def _has_amx() -> bool:
    return bool(llvm.get_host_cpu_features().get("amx-int8"))


def pack(w: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Lays weights (N, K) out as `product` takes them."""
    return tiles.pack(w, _ISA)


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instructions, numba may use them, and known answers come."""
    if first_supported(*_SETS) is None:
        return False
    rng = np.random.default_rng(1)
    for num_rows in (1, _ISA.rows[0], 2 * _ISA.rows[0] - 1):
        for low, high in ((-127, 128), (127, 128), (-127, -126), (0, 128)):
            q = rng.integers(low, high, (num_rows, 256)).astype(np.int8)
            w = rng.integers(-127, 128, (COLUMNS, 256)).astype(np.int8)
            w[0], w[1] = 127, -127
            out = np.empty((num_rows, COLUMNS), np.int32)
            try:
                product(q, pack(w), low >= 0, out)
            except Exception:  # another LLVM may know the instruction by another name
                return False
            if not np.array_equal(out, q.astype(np.int64) @ w.T.astype(np.int64)):
                return False
    return True
