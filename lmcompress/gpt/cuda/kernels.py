"""Fused Triton kernels of the exact GPT: bit-equal to `reference.py`, a few whole rows a program.

What keeps the bits: `launch` forbids the contraction of a * b + c; divisions are `div_rn` (a plain
/ is approximate on a GPU); sums run over integers; rounding to nearest even adds and subtracts
1.5 * 2**23. On the CPU the same kernels run in Triton's interpreter (TRITON_INTERPRET=1).

Rows are (lane, step) pairs, lane-major; each kernel takes int32 sums of a product together with the
scales of its rows (s) and of its columns (ws), and leaves int8 rows and their scales for the next.
Where activations have more than 8 bits (LEVELS above 127), a row is two rows of digits to base 128,
the low ones first, then those of all rows that are high; so are its sums: one product gives both.
Blocks are powers of two: columns beyond the width are zeros that no sum or maximum notices. Tiles
are (ROWS, BLOCK).
"""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

from lmcompress.gpt import constants
from lmcompress.gpt.tables import EXP2_BITS

TINY = tl.constexpr(constants.TINY)
HEAD_LEVELS = tl.constexpr(float(constants.MAX_ACTIVATION))
PER_HEAD_LEVEL = tl.constexpr(constants.PER_LEVEL)
NORM_GRID = tl.constexpr(constants.NORM_GRID)
NORM_SHIFT = tl.constexpr(constants.NORM_SHIFT)
MOST_FLOOR = tl.constexpr(2.0**54)
MEAN_OFFSET = tl.constexpr(1 << 21)
"""More than any mean on the norm's grid: makes a dividend positive, so that // rounds down."""
DIGIT_BITS = tl.constexpr(7)
DIGIT_MASK = tl.constexpr(127)
MAGIC = tl.constexpr(12582912.0)  # 1.5 * 2**23
BITS = tl.constexpr(EXP2_BITS)
MASK = tl.constexpr(constants.EXPONENT_MASK)
MAX_EXPONENT = tl.constexpr(constants.MAX_EXPONENT)
LOGIT_SCALE = tl.constexpr(2.0**-constants.LOGIT_SCALE_BITS)
EXPONENT_PER_NAT = tl.constexpr(constants.EXPONENT_PER_NAT)
GELU_ROOT = tl.constexpr(constants.GELU_ROOT)
GELU_CUBIC = tl.constexpr(constants.GELU_CUBIC)
ALL_WEIGHTS = tl.constexpr(1 << constants.PRECISION_BITS)

RELU2 = tl.constexpr(0)
GELU = tl.constexpr(1)
SWIGLU = tl.constexpr(2)

PROGRAMS = 1024
"""A program takes several rows only where there are more rows than this: enough for a large GPU."""
MAX_TILE = 4096
"""Most values of a tile of several rows: they stay in registers."""


def launch(
    kernel: Any, grid: tuple[int, ...], *args: Any, warps: int = 4, **constants: Any
) -> None:
    """Runs a kernel on the current stream; a * b + c stays two roundings."""
    kernel[grid](*args, num_warps=warps, enable_fp_fusion=False, **constants)


def launch_rows(kernel: Any, rows: int, *args: Any, BLOCK: int, **constants: Any) -> None:
    """Runs a kernel of this file over rows of at most BLOCK columns (or in blocks of so many)."""
    several = min(MAX_TILE // BLOCK, triton.next_power_of_2(triton.cdiv(rows, PROGRAMS)))
    ROWS = max(1, several)
    warps = max(1, min(16, ROWS * BLOCK // 256))
    grid = (triton.cdiv(rows, ROWS),)
    launch(kernel, grid, rows, *args, warps=warps, ROWS=ROWS, BLOCK=BLOCK, **constants)


@triton.jit
def round_even(x):
    """Returns float32 |x| <= 2**22 rounded to nearest even, int32."""
    return ((x + MAGIC) - MAGIC).to(tl.int32)


@triton.jit
def _rows(rows, ROWS: tl.constexpr):
    """Returns the program's rows (ROWS, 1), int64, and which of them there are."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    return row, row < rows


@triton.jit
def quantize_rows(
    x, rows, q, s, row, is_row, column, width, LEVELS: tl.constexpr, PER_LEVEL: tl.constexpr
):
    """Writes round(x * LEVELS / max|x|), in digits, into q and the scales into s."""
    largest = tl.maximum(tl.max(tl.abs(x), axis=1, keep_dims=True), TINY)
    levels = round_even(x * tl.div_rn(LEVELS, largest))
    at, inside = q + row * width + column, is_row & (column < width)
    if LEVELS > DIGIT_MASK:
        tl.store(at + behind_low(rows, width), (levels >> DIGIT_BITS).to(tl.int8), inside)
        levels = levels & DIGIT_MASK
    tl.store(at, levels.to(tl.int8), inside)
    tl.store(s + row, largest * PER_LEVEL, is_row)


@triton.jit
def behind_low(rows, width):
    """Returns how far behind the low digits the high ones are, int64."""
    return tl.cast(rows, tl.int64) * width


@triton.jit
def norm_factor(largest):
    """Returns what takes values of at most `largest` onto the norm's grid."""
    return tl.div_rn(NORM_GRID, tl.maximum(largest, TINY))


@triton.jit
def norm_scale(squares, factor, eps_sum, NUMERATOR: tl.constexpr):
    """Returns the norm's final factor, float32; squares int64, eps_sum = eps * width, float64."""
    factor64 = factor.to(tl.float64)
    floor = tl.minimum((factor64 * eps_sum) * factor64, MOST_FLOOR).to(tl.int64)
    n = (squares + floor) << NORM_SHIFT
    root = tl.sqrt(n.to(tl.float64)).to(tl.int64)  # off by one at most, settled below
    for _ in tl.static_range(2):
        root = root - (root * root > n).to(tl.int64)
        root = root + ((root + 1) * (root + 1) <= n).to(tl.int64)
    return tl.div_rn(NUMERATOR, tl.maximum(root, 1).to(tl.float32))


@triton.jit
def _norm(x, column, width, eps_sum, NUMERATOR: tl.constexpr, CENTRED: tl.constexpr):
    """Returns norm(x) of rows, without gain."""
    factor = norm_factor(tl.max(tl.abs(x), axis=1, keep_dims=True))
    u = round_even(x * factor)
    if CENTRED:
        twice = tl.cast(2 * width, tl.int64)  # times MEAN_OFFSET, 32 bits overflow from 512 on
        total = 2 * tl.sum(u.to(tl.int64), axis=1, keep_dims=True) + width
        mean = (total + twice * MEAN_OFFSET) // twice - MEAN_OFFSET
        u = tl.where(column < width, u - mean.to(tl.int32), 0)
    squares = tl.sum(u.to(tl.int64) * u.to(tl.int64), axis=1, keep_dims=True)
    return u.to(tl.float32) * norm_scale(squares, factor, eps_sum, NUMERATOR)


@triton.jit
def _enter(
    x, rows, row, is_row, column, width, residual, q, s, gain, norm_bias, eps_sum,
    LEVELS: tl.constexpr, PER_LEVEL: tl.constexpr, NORM: tl.constexpr, CENTRED: tl.constexpr,
    POST: tl.constexpr, HAS_GAIN: tl.constexpr, HAS_BIAS: tl.constexpr, NUMERATOR: tl.constexpr,
):  # fmt: skip
    """Leaves x in the residual stream and quantize(norm(x)) in (q, s)."""
    inside = column < width
    y = x
    if NORM:
        y = _norm(x, column, width, tl.load(eps_sum), NUMERATOR, CENTRED)
        if HAS_GAIN:
            y = y * tl.load(gain + column, inside, 0.0)
        if HAS_BIAS:
            y = y + tl.load(norm_bias + column, inside, 0.0)
    if POST:
        x = y
    tl.store(residual + row * width + column, x, is_row & inside)
    quantize_rows(y, rows, q, s, row, is_row, column, width, LEVELS, PER_LEVEL)


@triton.jit(do_not_specialize=["rows", "steps"])
def embed(
    rows, tokens, clock, token_q, token_s, position_q, position_s, ngrams, ngram_q, ngram_s,
    residual, q, s, gain, norm_bias, eps_sum, steps, width,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, POSITIONS: tl.constexpr, ORDERS: tl.constexpr,
    LEVELS: tl.constexpr, PER_LEVEL: tl.constexpr, NORM: tl.constexpr, CENTRED: tl.constexpr,
    POST: tl.constexpr, HAS_GAIN: tl.constexpr, HAS_BIAS: tl.constexpr, NUMERATOR: tl.constexpr,
):  # fmt: skip
    """Embeds tokens int64 (rows,), adds n-grams and learned positions; then as `add`.

    ngrams int64 (rows, ORDERS) are rows of the n-gram table, each for its share of the channels.
    """
    row, is_row = _rows(rows, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    inside = is_row & (column < width)
    token = tl.load(tokens + row, is_row, 0)
    x = tl.load(token_q + token * width + column, inside, 0).to(tl.float32)
    x = x * tl.load(token_s + token)
    if ORDERS:
        share = width // ORDERS
        ngram = tl.load(ngrams + row * ORDERS + column // share, inside, 0)
        added = tl.load(ngram_q + ngram * share + column % share, inside, 0).to(tl.float32)
        x = x + added * tl.load(ngram_s + ngram, inside, 0.0)
    if POSITIONS:
        position = tl.load(clock) + row % steps
        at = tl.load(position_q + position * width + column, inside, 0).to(tl.float32)
        x = x + at * tl.load(position_s + position, is_row, 0.0)
    _enter(
        x, rows, row, is_row, column, width, residual, q, s, gain, norm_bias, eps_sum,
        LEVELS, PER_LEVEL, NORM, CENTRED, POST, HAS_GAIN, HAS_BIAS, NUMERATOR,
    )  # fmt: skip


@triton.jit(do_not_specialize=["rows"])
def add(
    rows, sums, s, ws, bias, residual, q, gain, norm_bias, eps_sum, width,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, HAS_SUM_BIAS: tl.constexpr,
    LEVELS: tl.constexpr, PER_LEVEL: tl.constexpr, NORM: tl.constexpr, CENTRED: tl.constexpr,
    POST: tl.constexpr, HAS_GAIN: tl.constexpr, HAS_BIAS: tl.constexpr, NUMERATOR: tl.constexpr,
):  # fmt: skip
    """The end of one sublayer and the start of the next: adds to the residual stream, normalizes.

    x += (sums * s) * ws + bias; then q, s = quantize(norm(x)), where NORM; where POST, the norm
    replaces x.
    """
    row, is_row = _rows(rows, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    inside = is_row & (column < width)
    at = row * width + column
    scale, behind = tl.load(s + row, is_row, 0.0), behind_low(rows, width)
    y = dequantized(sums + at, behind, scale, ws, bias, column, inside, LEVELS, HAS_SUM_BIAS)
    x = tl.load(residual + at, inside, 0.0) + y
    _enter(
        x, rows, row, is_row, column, width, residual, q, s, gain, norm_bias, eps_sum,
        LEVELS, PER_LEVEL, NORM, CENTRED, POST, HAS_GAIN, HAS_BIAS, NUMERATOR,
    )  # fmt: skip


@triton.jit
def dequantized(
    sums, behind, scale, ws, bias, column, inside, LEVELS: tl.constexpr, HAS_BIAS: tl.constexpr
):
    """Returns (sums * scale) * ws + bias where there is something inside, zeros elsewhere."""
    total = tl.load(sums, inside, 0)
    if LEVELS > DIGIT_MASK:
        high = tl.load(sums + behind, inside, 0).to(tl.int64)
        total = (high << DIGIT_BITS) + total.to(tl.int64)
    y = (total.to(tl.float32) * scale) * tl.load(ws + column, inside, 0.0)
    if HAS_BIAS:
        y = y + tl.load(bias + column, inside, 0.0)
    return y


@triton.jit
def exp2_negative(z, table):
    """Looks up 2**(-z / 2**EXP2_BITS) in an int32 table on its scale; z int32, >= 0."""
    return tl.load(table + (z & MASK)) >> tl.minimum(z >> BITS, 31)


@triton.jit
def _sigmoid(x, table):
    z = round_even(tl.minimum(tl.abs(x) * EXPONENT_PER_NAT, MAX_EXPONENT))
    e = exp2_negative(z, table).to(tl.float32) * LOGIT_SCALE
    return tl.div_rn(tl.where(x >= 0.0, 1.0, e), 1.0 + e)


@triton.jit(do_not_specialize=["rows"])
def activate(
    rows, sums, s, ws, bias, table, q, width, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    LEVELS: tl.constexpr, PER_LEVEL: tl.constexpr, ACTIVATION: tl.constexpr, HAS_BIAS: tl.constexpr,
):  # fmt: skip
    """q, s = quantize(activation((sums * s) * ws + bias)); SWIGLU has 2 * width columns in."""
    row, is_row = _rows(rows, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    inside = is_row & (column < width)
    scale = tl.load(s + row, is_row, 0.0)
    if ACTIVATION == SWIGLU:
        at, behind = sums + row * (2 * width) + column, behind_low(rows, 2 * width)
        gate = dequantized(at, behind, scale, ws, bias, column, inside, LEVELS, HAS_BIAS)
        value_at, second = at + width, column + width
        value = dequantized(value_at, behind, scale, ws, bias, second, inside, LEVELS, HAS_BIAS)
        h = (gate * _sigmoid(gate, table)) * value
    else:
        at, behind = sums + row * width + column, behind_low(rows, width)
        x = dequantized(at, behind, scale, ws, bias, column, inside, LEVELS, HAS_BIAS)
        if ACTIVATION == RELU2:
            x = tl.maximum(x, 0.0)
            h = x * x
        else:
            inner = GELU_ROOT * (x + ((x * x) * x) * GELU_CUBIC)
            h = x * _sigmoid(inner, table)
    quantize_rows(h, rows, q, s, row, is_row, column, width, LEVELS, PER_LEVEL)


@triton.jit(do_not_specialize=["rows"])
def quantize(
    rows, x, q, s, width, ROWS: tl.constexpr, BLOCK: tl.constexpr, LEVELS: tl.constexpr,
    PER_LEVEL: tl.constexpr,
):  # fmt: skip
    """Quantizes rows of float32 x into (q, s)."""
    row, is_row = _rows(rows, ROWS)
    column = tl.arange(0, BLOCK)[None, :]
    y = tl.load(x + row * width + column, is_row & (column < width), 0.0)
    quantize_rows(y, rows, q, s, row, is_row, column, width, LEVELS, PER_LEVEL)


@triton.jit
def _logit_exponents(line, behind, is_row, scale, ws, column, vocab_size, LEVELS: tl.constexpr):
    """Returns logits in steps of 2**-EXP2_BITS of log2; the least there is outside."""
    inside = column < vocab_size
    inside_row = is_row & inside
    logits = dequantized(line + column, behind, scale, ws, ws, column, inside_row, LEVELS, False)
    t = tl.minimum(tl.maximum(logits * EXPONENT_PER_NAT, -MAX_EXPONENT), MAX_EXPONENT)
    return tl.where(inside, round_even(t), -(1 << 30))


@triton.jit(do_not_specialize=["rows", "lanes", "steps"])
def frequencies(
    rows, sums, s, ws, table, out, lanes, steps, vocab_size,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, LEVELS: tl.constexpr,
):  # fmt: skip
    """Integer softmax of logits (sums * s) * ws; row (lane, step) goes to out[step, lane].

    Reads a row four times, a block at a time, so that any vocabulary fits: for its maximum, the sum
    of exponentials, the sum of frequencies, and the frequencies.
    """
    row, is_row = _rows(rows, ROWS)
    block = tl.arange(0, BLOCK)[None, :]
    scale, line = tl.load(s + row, is_row, 0.0), sums + row * vocab_size
    behind = behind_low(rows, vocab_size)
    target = out + ((row % steps) * lanes + row // steps) * vocab_size
    largest = tl.full((ROWS, 1), -(1 << 30), tl.int32)
    first = tl.zeros((ROWS, 1), tl.int32)
    for start in range(0, vocab_size, BLOCK):
        column = start + block
        z = _logit_exponents(line, behind, is_row, scale, ws, column, vocab_size, LEVELS)
        top = tl.max(z, axis=1, keep_dims=True)
        here = tl.min(tl.where(z == top, column, vocab_size), axis=1, keep_dims=True)
        first = tl.where(top > largest, here, first)
        largest = tl.maximum(largest, top)
    total = tl.zeros((ROWS, 1), tl.int64)
    for start in range(0, vocab_size, BLOCK):
        z = _logit_exponents(line, behind, is_row, scale, ws, start + block, vocab_size, LEVELS)
        e = exp2_negative(largest - z, table).to(tl.int64)
        total += tl.sum(e, axis=1, keep_dims=True)
    budget = ALL_WEIGHTS - vocab_size
    left = tl.zeros((ROWS, 1), tl.int64) + budget
    for start in range(0, vocab_size, BLOCK):
        z = _logit_exponents(line, behind, is_row, scale, ws, start + block, vocab_size, LEVELS)
        e = exp2_negative(largest - z, table).to(tl.int64)
        left -= tl.sum(e * budget // total, axis=1, keep_dims=True)
    for start in range(0, vocab_size, BLOCK):
        column = start + block
        z = _logit_exponents(line, behind, is_row, scale, ws, column, vocab_size, LEVELS)
        freqs = exp2_negative(largest - z, table).to(tl.int64) * budget // total
        freqs += tl.where(column == first, left, 0)
        tl.store(target + column, freqs.to(tl.float32), is_row & (column < vocab_size))
