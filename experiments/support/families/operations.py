"""The reference's operations, compiled: the same bits in a quarter of the time.

Whole windows are many rows; PyTorch goes over them once for each operation of the reference, a loop
here does all of them while a row is in the cache. Products of bytes are the CPU path's own, those
of attention PyTorch's.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lmcompress.gpt.constants import (
    ATTENTION_LEVELS,
    ATTENTION_SCALE_BITS,
    EXPONENT_MASK,
    EXPONENT_PER_NAT,
    MAX_ACTIVATION,
    MAX_EXPONENT,
    PER_ATTENTION_LEVEL,
    PER_LEVEL,
    TINY,
    as_float32,
)
from lmcompress.gpt.cpu import matmul
from lmcompress.gpt.cpu.kernels import dequantize, norm_row, quantize_row
from lmcompress.gpt.reference import IntegerLinear, quantize
from lmcompress.gpt.tables import EXP2_BITS, exp2_table
from lmcompress.jit.compiler import kernel

f32 = np.float32
_LOWEST = np.int32(-(1 << 30))
_MOST, _LEVELS = f32(MAX_EXPONENT), f32(ATTENTION_LEVELS)
_PER_LEVEL, _TINY = f32(PER_ATTENTION_LEVEL), f32(TINY)
_MASK, _BITS = np.int32(EXPONENT_MASK), np.int32(EXP2_BITS)
_NO_BIAS = np.empty(0, np.float32)


def linear(
    q: npt.NDArray[np.int8], scale: npt.NDArray[np.float32], *, has_unsigned_inputs: bool = False
) -> IntegerLinear | Linear:
    """Returns a layer of weights (N, K) with scales (N,), compiled if the processor can."""
    if matmul.fits(q):
        return Linear(q, scale, has_unsigned_inputs=has_unsigned_inputs)
    return IntegerLinear(q, scale, None, MAX_ACTIVATION)


class Linear:
    """`reference.IntegerLinear` without a bias."""

    def __init__(
        self, q: npt.NDArray[np.int8], scale: npt.NDArray[np.float32], *, has_unsigned_inputs: bool
    ) -> None:
        self._panels, self._scale = matmul.pack(q), scale
        self._is_unsigned = has_unsigned_inputs

    def __call__(self, x: Tensor) -> Tensor:
        """Returns y, float32 (..., N), for x (..., K)."""
        rows = x.reshape(-1, x.shape[-1]).contiguous().numpy()
        q, scales = np.empty(rows.shape, np.int8), np.empty(len(rows), np.float32)
        _quantize_rows(rows, q, scales)
        sums = np.empty((len(rows), len(self._scale)), np.int32)
        matmul.product(q, self._panels, self._is_unsigned, sums)
        y = np.empty(sums.shape, np.float32)
        _dequantize_rows(sums, scales, self._scale, y)
        return torch.from_numpy(y).view(*x.shape[:-1], len(self._scale))


def rms_norm(x: Tensor, eps: float) -> Tensor:
    """`reference.integer_norm`, not centred."""
    rows = x.reshape(-1, x.shape[-1]).contiguous().numpy()
    y = np.empty_like(rows)
    _norm_rows(rows, y, eps)
    return torch.from_numpy(y).view(x.shape)


@kernel
def _quantize_rows(x, q, scales):
    wide, bits = np.empty(x.shape[1], np.int32), x.view(np.int32)
    for m in range(x.shape[0]):
        scales[m] = quantize_row(x[m], bits[m], wide, f32(MAX_ACTIVATION), f32(PER_LEVEL))
        for d in range(x.shape[1]):
            q[m, d] = wide[d]


@kernel
def _dequantize_rows(sums, scales, weight_scales, y):
    for m in range(sums.shape[0]):
        dequantize(sums[m], scales[m], weight_scales, _NO_BIAS, y[m])


@kernel
def _norm_rows(x, y, eps):
    scratch, bits = np.empty(x.shape[1], np.int32), x.view(np.int32)
    for m in range(x.shape[0]):
        norm_row(x[m], bits[m], y[m], scratch, eps, False)


def integer_attention(
    q: Tensor, k: Tensor, k_scale: Tensor, v: Tensor, v_scale: Tensor, seen: Tensor
) -> Tensor:
    """Softmax attention with integer sums; arguments and bits of `reference.integer_attention`."""
    q, q_scale = quantize(q)
    q_scale = q_scale * as_float32(EXPONENT_PER_NAT / math.sqrt(q.shape[-1]))
    weights = torch.matmul(q, k.mT)
    factors = torch.empty_like(q_scale)
    _weigh(
        weights.flatten(0, 1).numpy(),
        q_scale.flatten(0, 1)[..., 0].numpy(),
        k_scale.flatten(0, 1)[..., 0].numpy(),
        v_scale.flatten(0, 1)[..., 0].numpy(),
        seen.numpy(),
        exp2_table(ATTENTION_SCALE_BITS).astype(np.int32),
        factors.flatten(0, 1)[..., 0].numpy(),
    )
    sums = torch.matmul(weights.double(), v.double()).float()
    return sums * factors


@kernel
def _weigh(scores, q_scale, k_scale, v_scale, seen, table, factors):
    """Turns scores (N, T, S) into integer weights, and fills in what their sums are to be times."""
    exponents = np.empty(scores.shape[2], np.int32)
    for n in range(scores.shape[0]):
        for i in range(scores.shape[1]):
            row, scale = scores[n, i], q_scale[n, i]
            largest = _LOWEST
            for j in range(row.shape[0]):
                t = (row[j] * scale) * k_scale[n, j]
                t = max(min(t, _MOST), -_MOST)
                z = np.int32(np.rint(t)) if seen[i, j] else _LOWEST
                largest = max(largest, z)
                exponents[j] = z
            total, most = np.int32(0), _TINY
            for j in range(row.shape[0]):
                delta = largest - exponents[j]
                e = table[delta & _MASK] >> min(delta >> _BITS, np.int32(31))
                total += e
                row[j] = f32(e) * v_scale[n, j]
                most = max(most, row[j])
            inverse = _LEVELS / most
            for j in range(row.shape[0]):
                row[j] = np.rint(row[j] * inverse)
            factors[n, i] = (most * _PER_LEVEL) / f32(total)
