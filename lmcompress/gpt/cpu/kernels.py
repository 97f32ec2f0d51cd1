"""Fused CPU kernels of the exact GPT, in numba: bit-equal to `reference.py`, row by row.

No fast-math, so LLVM neither reorders nor contracts floating-point operations; integer loops
vectorize. Two devices keep float loops vectorized as well: magnitudes are compared as the integers
that their bits spell (positive floats sort like integers), and rounding to nearest even adds and
subtracts 1.5 * 2**23. Every kernel runs on one thread and releases the GIL.

Rows are (lane, new token) pairs, lane-major.
"""

from __future__ import annotations

import math

import numpy as np

from lmcompress.gpt import constants, ngrams
from lmcompress.gpt.tables import EXP2_BITS, NORMAL_LAST, NORMAL_STEPS
from lmcompress.jit.compiler import device_function, kernel

f32 = np.float32
MAGIC = f32(12582912.0)  # 1.5 * 2**23
TINY = f32(constants.TINY)
LEVELS = f32(constants.MAX_ACTIVATION)
PER_LEVEL = f32(constants.PER_LEVEL)
_NORM_GRID = f32(constants.NORM_GRID)
_NORM_SHIFT = constants.NORM_SHIFT
_EXPONENT_PER_NAT = f32(constants.EXPONENT_PER_NAT)
MAX_EXPONENT = f32(constants.MAX_EXPONENT)
_GELU_ROOT, _GELU_CUBIC = f32(constants.GELU_ROOT), f32(constants.GELU_CUBIC)
MASK = np.int32(constants.EXPONENT_MASK)
BITS = np.int32(EXP2_BITS)
_ONE, _ZERO = f32(1), f32(0)
_LOGIT_SCALE = f32(2.0**-constants.LOGIT_SCALE_BITS)
_SIGN_OFF = np.int32(0x7FFFFFFF)
_BUDGET = 1 << constants.PRECISION_BITS
_MULTIPLIER, _SPREAD = np.uint32(ngrams.MULTIPLIER), np.uint32(ngrams.SPREAD)

_NORMAL_STEPS, _NORMAL_LAST = f32(NORMAL_STEPS), f32(NORMAL_LAST)

RELU2, GELU, SWIGLU, GELU_ERF = 0, 1, 2, 3
NORM, CENTRED, POST, PARALLEL = 1, 2, 4, 8


@device_function
def largest_of(bits):
    """Returns max(max|x|, TINY) of the float32 x that `bits` is, seen as int32."""
    largest = np.int32(0)
    for d in range(bits.shape[0]):
        magnitude = np.int32(bits[d] & _SIGN_OFF)
        largest = magnitude if magnitude > largest else largest
    found = np.int32(largest).view(np.float32)
    return found if found > TINY else TINY


@device_function
def dequantize(sums, scale, ws, bias, y):
    """y = (sums * scale) * ws + bias; without a bias it has no elements."""
    for d in range(y.shape[0]):
        y[d] = (f32(sums[d]) * scale) * ws[d]
    if bias.shape[0]:
        for d in range(y.shape[0]):
            y[d] = y[d] + bias[d]


@device_function
def quantize_row(x, bits, q, levels, per_level):
    """Fills q with round(x * levels / max|x|); returns the scale."""
    largest = largest_of(bits)
    inverse = levels / largest
    for d in range(x.shape[0]):
        q[d] = np.int32((x[d] * inverse + MAGIC) - MAGIC)
    return largest * per_level


@device_function
def norm_row(x, bits, y, u, eps, centred):
    """y = norm(x) without gain; u is int32 scratch of the same length; y may be x."""
    width = x.shape[0]
    factor = _NORM_GRID / largest_of(bits)
    for d in range(width):
        u[d] = np.int32((x[d] * factor + MAGIC) - MAGIC)
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
def embed_tokens(tokens, q, s, x):
    """x[row] = q[token] * s[token]; tokens int64 (rows,)."""
    for m in range(tokens.shape[0]):
        token, scale = tokens[m], s[tokens[m]]
        for d in range(x.shape[1]):
            x[m, d] = f32(q[token, d]) * scale


@kernel
def embed_ngrams(tokens, recent, orders, bits, q, s, x):
    """Adds to x what the n-grams ending at each token add; see `ngrams.ngram_rows`.

    tokens int64 (lanes, steps), x (lanes * steps, C). recent (lanes, max(orders) - 1) holds the
    tokens before, and is brought up to date.
    """
    lanes, steps = tokens.shape
    width, depth = q.shape[1], recent.shape[1]
    for lane in range(lanes):
        for step in range(steps):
            h, share = np.uint32(0), 0
            for back in range(depth + 1):
                at = step - back
                token = tokens[lane, at] if at >= 0 else recent[lane, depth + at]
                h = np.uint32(h * _MULTIPLIER + np.uint32(token + 1))
                if back + 1 == orders[share]:
                    row = np.int64(np.uint32(h * _SPREAD) >> np.uint32(32 - bits)) + (share << bits)
                    scale, y = s[row], x[lane * steps + step, share * width : (share + 1) * width]
                    for d in range(width):
                        y[d] = y[d] + f32(q[row, d]) * scale
                    share += 1
        for i in range(depth):
            at = steps - depth + i
            recent[lane, i] = tokens[lane, at] if at >= 0 else recent[lane, depth + at]


@kernel
def embed_positions(clock, steps, q, s, x):
    """x[row] += q[p] * s[p] with p the row's position; clock[0] tokens came before."""
    for m in range(x.shape[0]):
        p = clock[0] + m % steps
        for d in range(x.shape[1]):
            x[m, d] = x[m, d] + f32(q[p, d]) * s[p]


@device_function
def _add_sums(row, sums, scale, ws, bias):
    """row += (sums * scale) * ws + bias."""
    if bias.shape[0]:
        for d in range(row.shape[0]):
            row[d] = row[d] + ((f32(sums[d]) * scale) * ws[d] + bias[d])
    else:
        for d in range(row.shape[0]):
            row[d] = row[d] + (f32(sums[d]) * scale) * ws[d]


@kernel
def add_norm_quantize(x, sums, s, ws, bias, norm, gain, norm_bias, eps, q, levels, per_level):
    """The end of one sublayer and the start of the next.

    x += (sums * s) * ws + bias (empty sums: nothing); then q, s = quantize(norm(x)). `norm` adds
    up NORM (else x itself is quantized), CENTRED (LayerNorm), POST (the norm replaces x) and
    PARALLEL (the norm is of x as it was before the sums).
    """
    width = x.shape[1]
    y, u = np.empty(width, np.float32), np.empty(width, np.int32)
    bits, ybits = x.view(np.int32), y.view(np.int32)
    for m in range(x.shape[0]):
        row, scale = x[m], s[m]
        if norm & PARALLEL:
            norm_row(row, bits[m], y, u, eps, norm & CENTRED)
        if sums.shape[0]:
            _add_sums(row, sums[m], scale, ws, bias)
        if not norm & NORM:
            s[m] = quantize_row(row, bits[m], q[m], levels, per_level)
            continue
        if not norm & PARALLEL:
            norm_row(row, bits[m], y, u, eps, norm & CENTRED)
        if gain.shape[0]:
            for d in range(width):
                y[d] = y[d] * gain[d]
        if norm_bias.shape[0]:
            for d in range(width):
                y[d] = y[d] + norm_bias[d]
        if norm & POST:
            for d in range(width):
                row[d] = y[d]
        s[m] = quantize_row(y, ybits, q[m], levels, per_level)


@device_function
def exp2_negative(z, table):
    """Looks up 2**(-z / 2**EXP2_BITS) on the table's scale; z int32, >= 0."""
    shift = z >> BITS
    return table[z & MASK] >> (shift if shift < 62 else 62)


@device_function
def _sigmoids(x, table, z, y):
    """y = sigmoid(x) with z as scratch, int32 of the same length; y is not x.

    Three loops, of which only the lookups in the middle one do not vectorize.
    """
    for d in range(x.shape[0]):
        t = abs(x[d]) * _EXPONENT_PER_NAT
        t = t if t < MAX_EXPONENT else MAX_EXPONENT
        z[d] = np.int32((t + MAGIC) - MAGIC)
    for d in range(x.shape[0]):
        y[d] = f32(exp2_negative(z[d], table))
    for d in range(x.shape[0]):
        e = y[d] * _LOGIT_SCALE
        y[d] = (_ONE if x[d] >= _ZERO else e) / (_ONE + e)


@device_function
def _normal(x, tails):
    """The normal distribution function, between the entries of `tables.normal_tail_table`."""
    t = abs(x) * _NORMAL_STEPS
    t = t if t < _NORMAL_LAST else _NORMAL_LAST
    i = np.int32(t)
    high = tails[i]
    tail = high - (high - tails[i + 1]) * (t - f32(i))
    return _ONE - tail if x >= _ZERO else tail


@kernel
def activate_quantize(sums, s, ws, bias, activation, table, tails, q, levels, per_level):
    """q, s = quantize(activation((sums * s) * ws + bias)); only GELU_ERF reads the tails."""
    width = q.shape[1]
    up, h = np.empty(sums.shape[1], np.float32), np.empty(width, np.float32)
    inner, z = np.empty(width, np.float32), np.empty(width, np.int32)
    bits = h.view(np.int32)
    for m in range(sums.shape[0]):
        dequantize(sums[m], s[m], ws, bias, up)
        if activation == RELU2:
            for d in range(width):
                y = up[d] if up[d] > _ZERO else _ZERO
                h[d] = y * y
        elif activation == GELU:
            for d in range(width):
                y = up[d]
                inner[d] = _GELU_ROOT * (y + ((y * y) * y) * _GELU_CUBIC)
            _sigmoids(inner, table, z, h)
            for d in range(width):
                h[d] = up[d] * h[d]
        elif activation == GELU_ERF:
            for d in range(width):
                h[d] = up[d] * _normal(up[d], tails)
        else:
            _sigmoids(up[:width], table, z, h)
            for d in range(width):
                h[d] = (up[d] * h[d]) * up[width + d]
        s[m] = quantize_row(h, bits, q[m], levels, per_level)


@kernel
def freqs_from_logits(sums, s, ws, table, lanes, out):
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
            t = t if t < MAX_EXPONENT else MAX_EXPONENT
            t = t if t > -MAX_EXPONENT else -MAX_EXPONENT
            z[v] = np.int32((t + MAGIC) - MAGIC)
        for v in range(vocab_size):
            largest = z[v] if z[v] > largest else largest
        total = np.int64(0)
        first = -1
        for v in range(vocab_size):
            e[v] = exp2_negative(largest - z[v], table)
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
