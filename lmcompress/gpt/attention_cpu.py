"""The attention kernel of the CPU path, in numba: bit-equal to `exact.integer_attention`.

Key/value caches are rings: position p of a lane lies in slot p % capacity, so the last `window`
positions are one run of slots or two. The rules of `kernels_cpu.py` hold here too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lmcompress.compiled import device_function, kernel
from lmcompress.gpt import grids
from lmcompress.gpt.attention_simd import dot_products, weighted_sum
from lmcompress.gpt.kernels_cpu import (
    BITS,
    LEVELS,
    MAGIC,
    MASK,
    MAX_EXPONENT,
    PER_LEVEL,
    f32,
    largest_of,
    norm_row,
    quantize_row,
)

_LEVELS = f32(grids.ATTENTION_LEVELS)
_PER_LEVEL = f32(grids.PER_ATTENTION_LEVEL)


@device_function
def _rotate(x, cos, sin, y):
    """y = x with channel pairs (d, d + R / 2) rotated, channels from R on as they are."""
    half = cos.shape[0]
    for d in range(half):
        y[d] = x[d] * cos[d] - x[d + half] * sin[d]
    for d in range(half):
        y[d + half] = x[d + half] * cos[d] + x[d] * sin[d]
    for d in range(2 * half, x.shape[0]):
        y[d] = x[d]


@device_function
def _exponents(scale, scales, z):
    """z = round(z * scale * scales): dot products become steps of 2**-EXP2_BITS."""
    for j in range(z.shape[0]):
        t = (f32(z[j]) * scale) * scales[j]
        t = t if t < MAX_EXPONENT else MAX_EXPONENT
        t = t if t > -MAX_EXPONENT else -MAX_EXPONENT
        z[j] = np.int32((t + MAGIC) - MAGIC)


@device_function
def _softmax(z, table, p):
    """p = 2**(z - max z) on the table's scale; returns the sum."""
    largest = z[0]
    for j in range(z.shape[0]):
        largest = z[j] if z[j] > largest else largest
    total = np.int32(0)
    for j in range(z.shape[0]):
        delta = largest - z[j]
        shift = delta >> BITS
        e = table[delta & MASK] >> (shift if shift < 31 else np.int32(31))
        total += e
        p[j] = e
    return total


@device_function
def _scale_weights(p, scales, f):
    """f = p * scales: each value's scale joins its weight."""
    for j in range(f.shape[0]):
        f[j] = f32(p[j]) * scales[j]


@device_function
def _quantize_weights(f, inverse, p):
    for j in range(f.shape[0]):
        p[j] = np.int16((f[j] * inverse + MAGIC) - MAGIC)


@functools.cache
def attention_kernel(head_dim: int) -> Callable[..., Any]:
    """Returns the kernel compiled for one head size, so that LLVM unrolls over its channels."""
    D = head_dim
    dots, add_values = dot_products(D), weighted_sum(D)
    query_scale = f32(grids.as_float32(grids.EXPONENT_PER_NAT / math.sqrt(D)))

    @kernel
    def attend(
        sums, s, ws, bias, lanes, clock, n_head, qk_norm, q_gain, k_gain, eps, cos, sin,
        k, ks, v, vs, window, table, q, levels, per_level,
    ):  # fmt: skip
        """Rows of q, k, v in (`sums`, scale `s`); rows of quantized attention out (`q`, `s`)."""
        steps, n_kv_head, capacity = sums.shape[0] // lanes, k.shape[1], k.shape[2]
        position = clock[0]
        x, y, u = np.empty(D, np.float32), np.empty(D, np.float32), np.empty(D, np.int32)
        xbits, ybits = x.view(np.int32), y.view(np.int32)
        queries = np.empty((n_head, steps, D), np.int8)
        query_scales = np.empty((n_head, steps), np.float32)
        query, acc = np.empty(D, np.int16), np.empty(D, np.int32)
        z, p = np.empty(window, np.int32), np.empty(window, np.int32)
        f, weights = np.empty(window, np.float32), np.empty(window, np.int16)
        fbits = f.view(np.int32)
        out = np.empty((steps, n_head * D), np.float32)
        out_bits = out.view(np.int32)
        for lane in range(lanes):
            for step in range(steps):
                m, slot = lane * steps + step, (position + step) % capacity
                scale = s[m]
                for h in range(n_head + 2 * n_kv_head):
                    lo = h * D
                    for d in range(D):
                        x[d] = (f32(sums[m, lo + d]) * scale) * ws[lo + d]
                    if bias.shape[0]:
                        for d in range(D):
                            x[d] = x[d] + bias[lo + d]
                    if h >= n_head + n_kv_head:
                        g = h - n_head - n_kv_head
                        vs[lane, g, slot] = quantize_row(
                            x, xbits, v[lane, g, slot], LEVELS, PER_LEVEL
                        )
                        continue
                    if qk_norm:
                        norm_row(x, xbits, x, u, eps, False)
                    if q_gain.shape[0]:
                        gain = q_gain if h < n_head else k_gain
                        for d in range(D):
                            x[d] = x[d] * gain[d]
                    if cos.shape[0]:
                        row = (position + step) % cos.shape[0]
                        _rotate(x, cos[row], sin[row], y)
                    else:
                        for d in range(D):
                            y[d] = x[d]
                    if h < n_head:
                        query_scales[h, step] = (
                            quantize_row(y, ybits, queries[h, step], LEVELS, PER_LEVEL)
                            * query_scale
                        )
                    else:
                        g = h - n_head
                        ks[lane, g, slot] = quantize_row(
                            y, ybits, k[lane, g, slot], LEVELS, PER_LEVEL
                        )
            for h in range(n_head):
                g = h // (n_head // n_kv_head)
                for step in range(steps):
                    count = min(window, position + step + 1)
                    start = (position + step + 1 - count) % capacity
                    first = min(count, capacity - start)  # slots up to the ring's end
                    rest = count - first
                    end = start + first
                    for d in range(D):
                        query[d] = queries[h, step, d]
                    scale = query_scales[h, step]
                    dots(query, k[lane, g, start:end], z[:first])
                    _exponents(scale, ks[lane, g, start:end], z[:first])
                    if rest:
                        dots(query, k[lane, g, :rest], z[first:count])
                        _exponents(scale, ks[lane, g, :rest], z[first:count])
                    total = _softmax(z[:count], table, p)
                    _scale_weights(p[:first], vs[lane, g, start:end], f[:first])
                    _scale_weights(p[first:count], vs[lane, g, :rest], f[first:count])
                    largest = largest_of(fbits[:count])
                    _quantize_weights(f[:count], _LEVELS / largest, weights)
                    for d in range(D):
                        acc[d] = 0
                    add_values(weights[:first], v[lane, g, start:end], acc)
                    if rest:
                        add_values(weights[first:count], v[lane, g, :rest], acc)
                    factor = (largest * _PER_LEVEL) / f32(total)
                    for d in range(D):
                        out[step, h * D + d] = f32(acc[d]) * factor
            for step in range(steps):
                m = lane * steps + step
                s[m] = quantize_row(out[step], out_bits[step], q[m], levels, per_level)

    return attend
