"""The attention kernel of the CPU path, in numba: bit-equal to `reference.integer_attention`.

Key/value caches are rings: position p of a lane lies in slot p % capacity, so the last `window`
positions are one run of slots or two. The rules of `kernels.py` hold here too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lmcompress.gpt import constants
from lmcompress.gpt.cpu.attention_simd import dot_products, weighted_sum
from lmcompress.gpt.cpu.kernels import (
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
from lmcompress.jit.compiler import device_function, kernel

_WEIGHT_LEVELS = f32(constants.ATTENTION_LEVELS)
_PER_WEIGHT_LEVEL = f32(constants.PER_ATTENTION_LEVEL)


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


class AttentionKernels(NamedTuple):
    """The kernels of one head size; `attend` is the three others in turn, lane by lane."""

    enter: Callable[..., Any]
    look: Callable[..., Any]
    leave: Callable[..., Any]
    attend: Callable[..., Any]


@functools.cache
def attention_kernels(head_dim: int) -> AttentionKernels:
    """Returns the kernels compiled for one head size, so that LLVM unrolls over its channels."""
    enter, look = _enter_kernel(head_dim), _look_kernel(head_dim)
    leave, attend = _leave, _attend_kernel(head_dim, enter, look, _leave)
    return AttentionKernels(enter, look, leave, attend)


def _enter_kernel(head_dim: int) -> Callable[..., Any]:
    D = head_dim
    query_scale = f32(constants.as_float32(constants.EXPONENT_PER_NAT / math.sqrt(D)))

    @kernel
    def enter(
        sums, s, ws, bias, clock, n_head, qk_norm, q_gain, k_gain, eps, cos, sin,
        k, ks, v, vs, queries, query_scales, first, stop,
    ):  # fmt: skip
        """Quantizes heads first to stop of one lane's rows: queries, then keys, then values.

        Queries go into (n_head, steps, D), scales (n_head, steps); the rest into the rings.
        """
        steps, n_kv_head, capacity = sums.shape[0], k.shape[0], k.shape[1]
        x, y, u = np.empty(D, np.float32), np.empty(D, np.float32), np.empty(D, np.int32)
        xbits, ybits = x.view(np.int32), y.view(np.int32)
        for step in range(steps):
            slot, scale = (clock[0] + step) % capacity, s[step]
            for h in range(first, stop):
                lo = h * D
                for d in range(D):
                    x[d] = (f32(sums[step, lo + d]) * scale) * ws[lo + d]
                if bias.shape[0]:
                    for d in range(D):
                        x[d] = x[d] + bias[lo + d]
                if h >= n_head + n_kv_head:
                    g = h - n_head - n_kv_head
                    vs[g, slot] = quantize_row(x, xbits, v[g, slot], LEVELS, PER_LEVEL)
                    continue
                if qk_norm:
                    norm_row(x, xbits, x, u, eps, False)
                if q_gain.shape[0]:
                    gain = q_gain if h < n_head else k_gain
                    for d in range(D):
                        x[d] = x[d] * gain[d]
                if cos.shape[0]:
                    row = (clock[0] + step) % cos.shape[0]
                    _rotate(x, cos[row], sin[row], y)
                else:
                    for d in range(D):
                        y[d] = x[d]
                if h < n_head:
                    query_scales[h, step] = (
                        quantize_row(y, ybits, queries[h, step], LEVELS, PER_LEVEL) * query_scale
                    )
                else:
                    g = h - n_head
                    ks[g, slot] = quantize_row(y, ybits, k[g, slot], LEVELS, PER_LEVEL)

    return enter


def _look_kernel(head_dim: int) -> Callable[..., Any]:
    D = head_dim
    dots, add_values = dot_products(D), weighted_sum(D)

    @kernel
    def look(
        queries, query_scales, clock, k, ks, v, vs, window, table, scratch, out, first, stop
    ):  # fmt: skip
        """Attends with queries first to stop of one lane, head by head; out (steps, n_head * D)."""
        n_head, steps = query_scales.shape
        n_kv_head, capacity = k.shape[0], k.shape[1]
        z, p, f, weights = scratch
        fbits = f.view(np.int32)
        query, acc = np.empty(D, np.int16), np.empty(D, np.int32)
        for index in range(first, stop):
            h, step = index // steps, index % steps
            g = h // (n_head // n_kv_head)
            count = min(window, clock[0] + step + 1)
            start = (clock[0] + step + 1 - count) % capacity
            ahead = min(count, capacity - start)  # slots up to the ring's end
            rest = count - ahead
            end = start + ahead
            for d in range(D):
                query[d] = queries[h, step, d]
            scale = query_scales[h, step]
            dots(query, k[g, start:end], z[:ahead])
            _exponents(scale, ks[g, start:end], z[:ahead])
            if rest:
                dots(query, k[g, :rest], z[ahead:count])
                _exponents(scale, ks[g, :rest], z[ahead:count])
            total = _softmax(z[:count], table, p)
            _scale_weights(p[:ahead], vs[g, start:end], f[:ahead])
            _scale_weights(p[ahead:count], vs[g, :rest], f[ahead:count])
            largest = largest_of(fbits[:count])
            _quantize_weights(f[:count], _WEIGHT_LEVELS / largest, weights)
            for d in range(D):
                acc[d] = 0
            add_values(weights[:ahead], v[g, start:end], acc)
            if rest:
                add_values(weights[ahead:count], v[g, :rest], acc)
            factor = (largest * _PER_WEIGHT_LEVEL) / f32(total)
            for d in range(D):
                out[step, h * D + d] = f32(acc[d]) * factor

    return look


@kernel
def _leave(out, s, q, levels, per_level):
    """Quantizes rows of what attention gave."""
    bits = out.view(np.int32)
    for m in range(out.shape[0]):
        s[m] = quantize_row(out[m], bits[m], q[m], levels, per_level)


@device_function
def new_scratch(window):
    """Returns what `look` writes into for a query: room for each key of its window."""
    z, p = np.empty(window, np.int32), np.empty(window, np.int32)
    return z, p, np.empty(window, np.float32), np.empty(window, np.int16)


def _attend_kernel(
    head_dim: int, enter: Callable[..., Any], look: Callable[..., Any], leave: Callable[..., Any]
) -> Callable[..., Any]:
    D = head_dim

    @kernel
    def attend(
        sums, s, ws, bias, lanes, clock, n_head, qk_norm, q_gain, k_gain, eps, cos, sin,
        k, ks, v, vs, window, table, q, levels, per_level,
    ):  # fmt: skip
        """Rows of q, k, v in (`sums`, scale `s`); rows of quantized attention out (`q`, `s`)."""
        steps, heads = sums.shape[0] // lanes, n_head + 2 * k.shape[1]
        queries = np.empty((n_head, steps, D), np.int8)
        query_scales = np.empty((n_head, steps), np.float32)
        scratch, out = new_scratch(window), np.empty((steps, n_head * D), np.float32)
        for lane in range(lanes):
            a, b = lane * steps, (lane + 1) * steps
            enter(
                sums[a:b], s[a:b], ws, bias, clock, n_head, qk_norm, q_gain, k_gain, eps, cos, sin,
                k[lane], ks[lane], v[lane], vs[lane], queries, query_scales, 0, heads,
            )  # fmt: skip
            look(
                queries, query_scales, clock, k[lane], ks[lane], v[lane], vs[lane], window, table,
                scratch, out, 0, n_head * steps,
            )  # fmt: skip
            leave(out, s[a:b], q[a:b], levels, per_level)

    return attend
