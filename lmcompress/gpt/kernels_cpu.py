"""Fused CPU kernels of the exact GPT, in numba: bit-equal to `exact.py`, row by row.

No fast-math, so LLVM neither reorders nor contracts floating-point operations; integer loops
vectorise. Two devices keep float loops vectorised as well: magnitudes are compared as the integers
that their bits spell (positive floats sort like integers), and rounding to nearest even adds and
subtracts 1.5 * 2**23. Every kernel runs on one thread and releases the GIL.

Rows are (lane, new token) pairs, lane-major. Key/value caches are rings: position p of a lane lies
in slot p % capacity.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from lmcompress.gpt import exact
from lmcompress.gpt.integers import EXP2_BITS
from lmcompress.gpt.quantization import MAX_ACTIVATION

f32 = np.float32
_MAGIC = f32(12582912.0)  # 1.5 * 2**23
_TINY = f32(exact.TINY)
_LEVELS = f32(MAX_ACTIVATION)
_PER_LEVEL = f32(exact.PER_LEVEL)
_ATTENTION_LEVELS = f32(exact.ATTENTION_LEVELS)
_PER_ATTENTION_LEVEL = f32(exact.PER_ATTENTION_LEVEL)
_NORM_GRID = f32(exact.NORM_GRID)
_NORM_SHIFT = exact.NORM_SHIFT
_EXPONENT_PER_NAT = f32(exact.EXPONENT_PER_NAT)
_MAX_EXPONENT = f32(exact.MAX_EXPONENT)
_GELU_ROOT, _GELU_CUBIC = f32(exact.GELU_ROOT), f32(exact.GELU_CUBIC)
_MASK = np.int32(exact.EXPONENT_MASK)
_BITS = np.int32(EXP2_BITS)
_ONE, _ZERO = f32(1), f32(0)
_LOGIT_SCALE = f32(2.0**-exact.LOGIT_SCALE_BITS)
_SIGN_OFF = np.int32(0x7FFFFFFF)
_BUDGET = 1 << exact.PRECISION_BITS

RELU2, GELU, SWIGLU = 0, 1, 2

_options: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a kernel: strict IEEE, no GIL, cached on disk."""
    return njit(**_options)(function)  # type: ignore[no-any-return]


def device_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function that kernels inline."""
    return njit(inline="always", **_options)(function)  # type: ignore[no-any-return]


@device_function
def _largest(x, bits):
    """Returns max(max|x|, TINY); `bits` is x seen as int32."""
    largest = np.int32(0)
    for d in range(bits.shape[0]):
        magnitude = bits[d] & _SIGN_OFF
        largest = magnitude if magnitude > largest else largest
    found = _ZERO
    for d in range(x.shape[0]):
        # The float itself, found again by its bits: a scalar cannot be reinterpreted here.
        if (bits[d] & _SIGN_OFF) == largest:
            found = abs(x[d])
            break
    return found if found > _TINY else _TINY


@device_function
def _quantize_row(x, bits, q):
    largest = _largest(x, bits)
    inverse = _LEVELS / largest
    for d in range(x.shape[0]):
        q[d] = np.int8(np.int32((x[d] * inverse + _MAGIC) - _MAGIC))
    return largest * _PER_LEVEL


@device_function
def _norm_row(x, bits, y, u, eps, centred):
    """y = norm(x) without gain; u is int32 scratch of the same length."""
    width = x.shape[0]
    factor = _NORM_GRID / _largest(x, bits)
    for d in range(width):
        u[d] = np.int32((x[d] * factor + _MAGIC) - _MAGIC)
    if centred:
        total = np.int64(0)
        for d in range(width):
            total += np.int64(u[d])
        mean = np.int32((2 * total + width) // (2 * width))
        for d in range(width):
            u[d] -= mean
    squares = np.int64(0)
    for d in range(width):
        squares += np.int64(u[d]) * np.int64(u[d])
    factor64 = np.float64(factor)
    floor = np.int64(min((factor64 * (eps * width)) * factor64, 2.0**54))
    n = (squares + floor) << _NORM_SHIFT
    root = np.int64(np.sqrt(np.float64(n)))
    while root * root > n:
        root -= 1
    while (root + 1) * (root + 1) <= n:
        root += 1
    root = max(root, 1)
    scale = f32(math.sqrt(width) * 2.0 ** (_NORM_SHIFT / 2)) / f32(root)
    for d in range(width):
        y[d] = f32(u[d]) * scale


@kernel
def embed(tokens, q, s, add, x):
    """x[row] (+)= q[token] * s[token]; tokens int64 (rows,)."""
    for m in range(tokens.shape[0]):
        token, scale = tokens[m], s[tokens[m]]
        for d in range(x.shape[1]):
            value = f32(q[token, d]) * scale
            x[m, d] = x[m, d] + value if add else value


@kernel
def quantize_rows(x, q, s):
    """q, s = quantize(x), row by row."""
    bits = x.view(np.int32)
    for m in range(x.shape[0]):
        s[m] = _quantize_row(x[m], bits[m], q[m])


@kernel
def add_product(x, sums, s, ws, bias):
    """x += (sums * s) * ws + bias: the residual connection."""
    for m in range(x.shape[0]):
        for d in range(x.shape[1]):
            y = (f32(sums[m, d]) * s[m]) * ws[d]
            if bias.shape[0]:
                y = y + bias[d]
            x[m, d] = x[m, d] + y


@kernel
def norm_rows(x, gain, bias, eps, centred, y):
    """y = norm(x) with gain and bias where given (empty: none); y may be x."""
    bits = x.view(np.int32)
    u = np.empty(x.shape[1], np.int32)
    for m in range(x.shape[0]):
        _norm_row(x[m], bits[m], y[m], u, eps, centred)
        if gain.shape[0]:
            for d in range(x.shape[1]):
                y[m, d] = y[m, d] * gain[d]
        if bias.shape[0]:
            for d in range(x.shape[1]):
                y[m, d] = y[m, d] + bias[d]


@device_function
def _exp2_negative(z, table):
    shift = z >> _BITS
    return table[z & _MASK] >> (shift if shift < 62 else 62)


@device_function
def _sigmoid(x, table):
    t = abs(x) * _EXPONENT_PER_NAT
    t = t if t < _MAX_EXPONENT else _MAX_EXPONENT
    e = f32(_exp2_negative(np.int32((t + _MAGIC) - _MAGIC), table)) * _LOGIT_SCALE
    return (_ONE if x >= _ZERO else e) / (_ONE + e)


@kernel
def activate_rows(sums, s, ws, bias, activation, table, h, q, hs):
    """q, hs = quantize(activation((sums * s) * ws + bias)); h is float scratch (rows, hidden)."""
    bits = h.view(np.int32)
    width = h.shape[1]
    up = np.empty(sums.shape[1], np.float32)
    for m in range(sums.shape[0]):
        for d in range(sums.shape[1]):
            up[d] = (f32(sums[m, d]) * s[m]) * ws[d]
        if bias.shape[0]:
            for d in range(sums.shape[1]):
                up[d] = up[d] + bias[d]
        if activation == RELU2:
            for d in range(width):
                y = up[d] if up[d] > _ZERO else _ZERO
                h[m, d] = y * y
        elif activation == GELU:
            for d in range(width):
                y = up[d]
                inner = _GELU_ROOT * (y + ((y * y) * y) * _GELU_CUBIC)
                h[m, d] = y * _sigmoid(inner, table)
        else:
            for d in range(width):
                h[m, d] = (up[d] * _sigmoid(up[d], table)) * up[width + d]
        hs[m] = _quantize_row(h[m], bits[m], q[m])


@kernel
def weights_from_logits(sums, s, ws, table, lanes, out):
    """Integer softmax of logits (sums * s) * ws; rows (lane, step) go to out[step, lane]."""
    vocab_size = sums.shape[1]
    steps = sums.shape[0] // lanes
    z = np.empty(vocab_size, np.int32)
    e = np.empty(vocab_size, np.int64)
    budget = _BUDGET - vocab_size
    for m in range(sums.shape[0]):
        row = out[m % steps, m // steps]
        largest = np.int32(-(1 << 30))
        for v in range(vocab_size):
            t = ((f32(sums[m, v]) * s[m]) * ws[v]) * _EXPONENT_PER_NAT
            t = t if t < _MAX_EXPONENT else _MAX_EXPONENT
            t = t if t > -_MAX_EXPONENT else -_MAX_EXPONENT
            z[v] = np.int32((t + _MAGIC) - _MAGIC)
        for v in range(vocab_size):
            largest = z[v] if z[v] > largest else largest
        total = np.int64(0)
        first = -1
        for v in range(vocab_size):
            e[v] = _exp2_negative(largest - z[v], table)
            total += e[v]
            if first < 0 and z[v] == largest:
                first = v
        left = budget
        for v in range(vocab_size):
            weight = (e[v] * budget) // total
            left -= weight
            row[v] = f32(weight)
        row[first] = f32(np.int64(row[first]) + left)


@kernel
def logits_rows(sums, s, ws, lanes, out):
    """Logits (sums * s) * ws; rows (lane, step) go to out[step, lane]."""
    steps = sums.shape[0] // lanes
    for m in range(sums.shape[0]):
        for v in range(sums.shape[1]):
            out[m % steps, m // steps, v] = (f32(sums[m, v]) * s[m]) * ws[v]


@functools.cache
def attention_kernels(head_dim: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns (split, attend) compiled for one head size, so that LLVM unrolls over it."""
    D = head_dim
    half = D // 2
    query_scale = f32(exact.as_float32(exact.EXPONENT_PER_NAT / math.sqrt(D)))

    @kernel
    def split(sums, s, ws, bias, lanes, position, qk_norm, eps, cos, sin, q, qs, k, ks, v, vs):
        """Dequantizes rows of q, k, v; normalises and rotates q and k; fills q and the rings."""
        steps = sums.shape[0] // lanes
        n_head, n_kv_head, capacity = q.shape[1], k.shape[1], k.shape[2]
        x, y = np.empty(D, np.float32), np.empty(D, np.float32)
        u = np.empty(D, np.int32)
        xbits, ybits = x.view(np.int32), y.view(np.int32)
        for m in range(sums.shape[0]):
            lane, p = m // steps, position + m % steps
            slot = p % capacity
            for h in range(n_head + 2 * n_kv_head):
                for d in range(D):
                    x[d] = (f32(sums[m, h * D + d]) * s[m]) * ws[h * D + d]
                if bias.shape[0]:
                    for d in range(D):
                        x[d] = x[d] + bias[h * D + d]
                if h < n_head + n_kv_head:
                    if qk_norm:
                        _norm_row(x, xbits, x, u, eps, False)
                    if cos.shape[0]:
                        row = p % cos.shape[0]
                        for d in range(half):
                            x1, x2 = x[d], x[d + half]
                            y[d] = x1 * cos[row, d] - x2 * sin[row, d]
                            y[d + half] = x2 * cos[row, d] + x1 * sin[row, d]
                    else:
                        for d in range(D):
                            y[d] = x[d]
                else:
                    for d in range(D):
                        y[d] = x[d]
                if h < n_head:
                    qs[m, h] = _quantize_row(y, ybits, q[m, h]) * query_scale
                elif h < n_head + n_kv_head:
                    g = h - n_head
                    ks[lane, g, slot] = _quantize_row(y, ybits, k[lane, g, slot])
                else:
                    g = h - n_head - n_kv_head
                    vs[lane, g, slot] = _quantize_row(y, ybits, v[lane, g, slot])

    @kernel
    def attend(q, qs, k, ks, v, vs, lanes, position, window, table, out):
        """out[row, head] = attention of each query over the last `window` positions."""
        steps = q.shape[0] // lanes
        n_head, capacity = q.shape[1], k.shape[2]
        group = n_head // k.shape[1]
        z, p = np.empty(window, np.int32), np.empty(window, np.int32)
        f = np.empty(window, np.float32)
        fbits = f.view(np.int32)
        acc, query = np.empty(D, np.int32), np.empty(D, np.int16)
        for lane in range(lanes):
            for h in range(n_head):
                g = h // group
                for step in range(steps):
                    m = lane * steps + step
                    count = min(window, position + step + 1)
                    start = (position + step + 1 - count) % capacity
                    before = min(count, capacity - start)  # slots up to the ring's end
                    for d in range(D):
                        query[d] = q[m, h, d]
                    scale = qs[m, h]
                    done = 0
                    while done < count:
                        lo = start if done == 0 else 0
                        num = before if done == 0 else count - before
                        keys, scales = k[lane, g, lo : lo + num], ks[lane, g, lo : lo + num]
                        part = z[done : done + num]
                        for j in range(num):
                            dot = np.int32(0)
                            for d in range(D):
                                dot += np.int32(query[d]) * np.int32(np.int16(keys[j, d]))
                            part[j] = dot
                        for j in range(num):
                            t = (f32(part[j]) * scale) * scales[j]
                            t = t if t < _MAX_EXPONENT else _MAX_EXPONENT
                            t = t if t > -_MAX_EXPONENT else -_MAX_EXPONENT
                            part[j] = np.int32((t + _MAGIC) - _MAGIC)
                        done += num
                    largest = z[0]
                    for j in range(count):
                        largest = z[j] if z[j] > largest else largest
                    total = np.int32(0)
                    for j in range(count):
                        delta = largest - z[j]
                        shift = delta >> _BITS
                        e = table[delta & _MASK] >> (shift if shift < 31 else np.int32(31))
                        total += e
                        p[j] = e
                    done = 0
                    while done < count:
                        lo = start if done == 0 else 0
                        num = before if done == 0 else count - before
                        scales = vs[lane, g, lo : lo + num]
                        for j in range(num):
                            f[done + j] = f32(p[done + j]) * scales[j]
                        done += num
                    top = _largest(f[:count], fbits[:count])
                    inverse = _ATTENTION_LEVELS / top
                    for j in range(count):
                        p[j] = np.int32((f[j] * inverse + _MAGIC) - _MAGIC)
                    for d in range(D):
                        acc[d] = 0
                    done = 0
                    while done < count:
                        lo = start if done == 0 else 0
                        num = before if done == 0 else count - before
                        values = v[lane, g, lo : lo + num]
                        part = p[done : done + num]
                        for j in range(num):
                            weight = part[j]
                            for d in range(D):
                                acc[d] += weight * np.int32(values[j, d])
                        done += num
                    factor = (top * _PER_ATTENTION_LEVEL) / f32(total)
                    for d in range(D):
                        out[m, h * D + d] = f32(acc[d]) * factor

    return split, attend
