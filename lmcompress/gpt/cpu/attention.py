"""The attention kernel of the CPU path, in numba: bit-equal to `reference.integer_attention`.

`rings.py` says where keys and values lie. The rules of `kernels.py` hold here too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lmcompress.gpt import constants
from lmcompress.gpt.cpu import attention_simd
from lmcompress.gpt.cpu.attention_plain import PLAIN_LOOPS, AttentionLoops
from lmcompress.gpt.cpu.kernels import LEVELS, PER_LEVEL, dequantize, f32, norm_row, quantize_row
from lmcompress.gpt.cpu.rings import BLOCK, FLIP, GROUP, TUPLE, TUPLES
from lmcompress.jit.compiler import device_function, kernel, lean_kernel

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
def _put_key(row, block, i):
    """Key i of a block = row; four channels at once, for single bytes would take as many stores."""
    for group in range(block.shape[0]):
        d = group * GROUP
        a, b, c, e = row[d] ^ FLIP, row[d + 1] ^ FLIP, row[d + 2] ^ FLIP, row[d + 3] ^ FLIP
        block[group, i, 0], block[group, i, 1] = a, b
        block[group, i, 2], block[group, i, 3] = c, e


@device_function
def _put_value(row, values, i):
    """Value i of a tuple = row; the others keep their bytes."""
    shift = np.int32(8 * i)
    kept = np.int32(~(255 << shift))
    for d in range(row.shape[0]):
        values[d] = (values[d] & kept) | ((np.int32(row[d]) & 255) << shift)


@device_function
def _seen(position, last, window, capacity):
    """Which blocks queries at `position` to `last` see: from a to before b, then those before c.

    The first two are the run up to the ring's end at most, and c is 0 where it does not go on at
    the start. Of their slots, counted on, `own` is that of `position`.
    """
    count = min(window, position + 1)
    oldest = (position + 1 - count) % capacity
    a = oldest // BLOCK
    own = oldest - a * BLOCK + count - 1
    blocks = (own + last - position) // BLOCK + 1
    b = min(a + blocks, capacity // BLOCK)
    return a, b, blocks - (b - a), own


class AttentionKernels(NamedTuple):
    """The kernels of one head size; `attend` is the three others in turn, lane by lane."""

    queries: int
    """Queries that `look` takes together: `query_scratch` makes room for so many."""
    enter: Callable[..., Any]
    look: Callable[..., Any]
    leave: Callable[..., Any]
    attend: Callable[..., Any]


@functools.cache
def attention_kernels(head_dim: int) -> AttentionKernels:
    """Returns the kernels compiled for one head size, so that LLVM unrolls over its channels."""
    loops = attention_loops(head_dim)
    enter, look = _enter_kernel(head_dim), _look_kernel(head_dim, loops)
    attend = _attend_kernel(head_dim, loops.queries, enter, look, _leave)
    return AttentionKernels(loops.queries, enter, look, _leave, attend)


def attention_loops(head_dim: int) -> AttentionLoops:
    """Returns the fastest loops for heads of so many channels on this processor."""
    return attention_simd.simd_loops(head_dim) if attention_simd.fits(head_dim) else PLAIN_LOOPS


def _enter_kernel(head_dim: int) -> Callable[..., Any]:
    D = head_dim
    query_scale = f32(constants.as_float32(constants.EXPONENT_PER_NAT / math.sqrt(D)))

    @lean_kernel
    def enter(
        sums, s, ws, bias, clock, n_head, qk_norm, q_gain, k_gain, eps, cos, sin,
        k, ks, v, vs, queries, query_scales, scratch, first, stop,
    ):  # fmt: skip
        """Quantizes heads first to stop of one lane's rows: queries, then keys, then values.

        Queries go into (n_head * steps, D) in the order of `look`, their scales into
        (n_head * steps,); the rest into the rings.
        """
        steps, (n_kv_head, capacity) = sums.shape[0], ks.shape
        sharing = n_head // n_kv_head
        x, y, u, row = scratch
        xbits, ybits = x.view(np.int32), y.view(np.int32)
        for step in range(steps):
            slot, scale = (clock[0] + step) % capacity, s[step]
            for h in range(first, stop):
                a, b = h * D, (h + 1) * D
                dequantize(sums[step, a:b], scale, ws[a:b], bias[a:b], x)
                if h >= n_head + n_kv_head:
                    g = h - n_head - n_kv_head
                    vs[g, slot] = quantize_row(x, xbits, row[:D], LEVELS, PER_LEVEL)
                    _put_value(row[:D], v[g, slot // TUPLE], slot % TUPLE)
                    continue
                if qk_norm:
                    norm_row(x, xbits, x, u, eps, False)
                if q_gain.shape[0]:
                    gain = q_gain if h < n_head else k_gain
                    for d in range(D):
                        x[d] = x[d] * gain[d]
                if cos.shape[0]:
                    turn = (clock[0] + step) % cos.shape[0]
                    _rotate(x, cos[turn], sin[turn], y)
                else:
                    for d in range(D):
                        y[d] = x[d]
                if h < n_head:
                    at = (h // sharing * steps + step) * sharing + h % sharing
                    query_scales[at] = (
                        quantize_row(y, ybits, queries[at], LEVELS, PER_LEVEL) * query_scale
                    )
                else:
                    g = h - n_head
                    ks[g, slot] = quantize_row(y, ybits, row[:D], LEVELS, PER_LEVEL)
                    _put_key(row, k[g, slot // BLOCK], slot % BLOCK)

    return enter


def _look_kernel(head_dim: int, loops: AttentionLoops) -> Callable[..., Any]:
    D = head_dim
    together, dots, exponents, softmax, quantize, add_values = loops

    @lean_kernel
    def look(
        queries, query_scales, clock, k, ks, v, vs, window, table, scratch, out, first, stop
    ):  # fmt: skip
        """Attends with queries first to stop of one lane; out (steps, n_head * D).

        Queries of a key's head follow each other, step by step: they read its keys together.
        """
        n_kv_head, capacity = ks.shape
        steps = out.shape[0]
        sharing = out.shape[1] // (n_kv_head * D)
        z, f, p, magnitudes, acc, factors = scratch
        index = first
        while index < stop:
            g = index // (sharing * steps)
            n = min(together, stop - index, (g + 1) * sharing * steps - index)
            step = index // sharing - g * steps
            last = (index + n - 1) // sharing - g * steps
            a, b, c, own = _seen(clock[0] + step, clock[0] + last, window, capacity)
            ahead, rest = (b - a) * BLOCK, c * BLOCK
            mine = queries[index : index + n]
            for i in range(n):
                for d in range(D):
                    magnitudes[i, d] = abs(mine[i, d])
                    acc[i, d] = 0
            dots(mine, magnitudes[:n], k[g, a:b], z[:n, :ahead])
            if rest:
                dots(mine, magnitudes[:n], k[g, :c], z[:n, ahead:])
            scales, value_scales = ks[g, a * BLOCK : b * BLOCK], vs[g, a * BLOCK : b * BLOCK]
            for i in range(n):
                scale, at = query_scales[index + i], (index + i) // sharing - g * steps
                high = own + 1 + at - step
                low = high - min(window, clock[0] + at + 1)
                largest = exponents(z[i, :ahead], scales, scale, low, high)
                if rest:
                    other = z[i, ahead : ahead + rest]
                    found = exponents(other, ks[g, :rest], scale, low - ahead, high - ahead)
                    largest = max(largest, found)
                total, most = softmax(z[i, :ahead], largest, table, value_scales, f[:ahead])
                if rest:
                    other = z[i, ahead : ahead + rest]
                    found = softmax(other, largest, table, vs[g, :rest], f[ahead : ahead + rest])
                    total, most = total + found[0], max(most, found[1])
                quantize(f[: ahead + rest], _WEIGHT_LEVELS / most, p[i])
                factors[i] = (most * _PER_WEIGHT_LEVEL) / f32(total)
            add_values(p[:n, :ahead], v[g, a * TUPLES : b * TUPLES], acc[:n])
            if rest:
                add_values(p[:n, ahead:], v[g, : c * TUPLES], acc[:n])
            for i in range(n):
                h = g * sharing + (index + i) % sharing
                at = (index + i) // sharing - g * steps
                for d in range(D):
                    out[at, h * D + d] = f32(acc[i, d]) * factors[i]
            index += n

    return look


@lean_kernel
def _leave(out, s, q, levels, per_level):
    """Quantizes rows of what attention gave."""
    bits = out.view(np.int32)
    for m in range(out.shape[0]):
        s[m] = quantize_row(out[m], bits[m], q[m], levels, per_level)


@device_function
def row_scratch(head_dim):
    """Returns what `enter` writes a row into."""
    row = np.zeros((head_dim + GROUP - 1) // GROUP * GROUP, np.int8)
    x, y = np.empty(head_dim, np.float32), np.empty(head_dim, np.float32)
    return x, y, np.empty(head_dim, np.int32), row


@device_function
def query_scratch(queries, window, head_dim):
    """Returns what `look` writes into for so many queries: room for the blocks that they see."""
    n = (window + queries + 2 * BLOCK) // BLOCK * BLOCK
    z, f, p = (
        np.empty((queries, n), np.int32),
        np.empty(n, np.float32),
        np.empty((queries, n), np.int16),
    )
    magnitudes, acc = (
        np.empty((queries, head_dim), np.int8),
        np.empty((queries, head_dim), np.int32),
    )
    return z, f, p, magnitudes, acc, np.empty(queries, np.float32)


def _attend_kernel(
    head_dim: int,
    together: int,
    enter: Callable[..., Any],
    look: Callable[..., Any],
    leave: Callable[..., Any],
) -> Callable[..., Any]:
    D = head_dim

    @kernel
    def attend(
        sums, s, ws, bias, lanes, clock, n_head, qk_norm, q_gain, k_gain, eps, cos, sin,
        k, ks, v, vs, window, table, q, levels, per_level,
    ):  # fmt: skip
        """Rows of q, k, v in (`sums`, scale `s`); rows of quantized attention out (`q`, `s`)."""
        steps, heads = sums.shape[0] // lanes, n_head + 2 * ks.shape[1]
        queries = np.empty((n_head * steps, D), np.int8)
        query_scales = np.empty(n_head * steps, np.float32)
        row, scratch = row_scratch(D), query_scratch(together, window, D)
        out = np.empty((steps, n_head * D), np.float32)
        for lane in range(lanes):
            a, b = lane * steps, (lane + 1) * steps
            enter(
                sums[a:b], s[a:b], ws, bias, clock, n_head, qk_norm, q_gain, k_gain, eps, cos, sin,
                k[lane], ks[lane], v[lane], vs[lane], queries, query_scales, row, 0, heads,
            )  # fmt: skip
            look(
                queries, query_scales, clock, k[lane], ks[lane], v[lane], vs[lane], window, table,
                scratch, out, 0, n_head * steps,
            )  # fmt: skip
            leave(out, s[a:b], q[a:b], levels, per_level)

    return attend
