"""Attention over int8 keys and values in Triton: bit-equal to `reference.integer_attention`.

Key/value caches are rings: position p of a lane lies in slot p % capacity. The rules of
`kernels.py` hold here too. No single pass can do this softmax: an exponential is rounded after
the maximum is known, a weight after the largest product of exponential and value scale is. So the
scores are computed three times, each time on the tensor cores.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lmcompress.gpt import constants
from lmcompress.gpt.cuda.kernels import (
    HEAD_LEVELS,
    MAX_EXPONENT,
    PER_HEAD_LEVEL,
    TINY,
    behind_low,
    dequantized,
    exp2_negative,
    norm_factor,
    norm_scale,
    round_even,
)

ATTENTION_LEVELS = tl.constexpr(float(constants.ATTENTION_LEVELS))
PER_ATTENTION_LEVEL = tl.constexpr(constants.PER_ATTENTION_LEVEL)
UNSEEN = tl.constexpr(-(1 << 30))
"""Exponent of a key that a query does not see: 2 to it is zero, whatever the maximum."""


@triton.jit
def _unit(x, y, eps_sum, NUMERATOR: tl.constexpr):
    """Returns both halves of heads (heads, D / 2), RMS-normalized per head."""
    factor = norm_factor(tl.maximum(tl.max(tl.abs(x), axis=1), tl.max(tl.abs(y), axis=1)))
    u, w = round_even(x * factor[:, None]), round_even(y * factor[:, None])
    squares = tl.sum(u.to(tl.int64) * u.to(tl.int64), axis=1)
    squares += tl.sum(w.to(tl.int64) * w.to(tl.int64), axis=1)
    scale = norm_scale(squares, factor, eps_sum, NUMERATOR)[:, None]
    return u.to(tl.float32) * scale, w.to(tl.float32) * scale


@triton.jit
def _quantize_heads(x, y, q, s, vector, is_head, pair, D: tl.constexpr, FACTOR: tl.constexpr):
    """Writes heads, given as halves, as int8 into vectors of q; their scales * FACTOR into s."""
    largest = tl.maximum(tl.max(tl.abs(x), axis=1), tl.max(tl.abs(y), axis=1))
    largest = tl.maximum(largest, TINY)
    inverse = tl.div_rn(HEAD_LEVELS, largest)[:, None]
    at = (vector * D)[:, None] + pair[None, :]
    inside = is_head[:, None] & (pair < D // 2)[None, :]
    tl.store(q + at, round_even(x * inverse).to(tl.int8), inside)
    tl.store(q + at + D // 2, round_even(y * inverse).to(tl.int8), inside)
    tl.store(s + vector, (largest * PER_HEAD_LEVEL) * FACTOR, is_head)


@triton.jit
def _heads(
    rows, sums, s, ws, bias, clock, cos, sin, eps_sum, q, qs, steps, capacity, period, width,
    ROWS: tl.constexpr, FIRST: tl.constexpr, HEADS: tl.constexpr, HEAD_BLOCK: tl.constexpr,
    D: tl.constexpr, HALF_BLOCK: tl.constexpr, RING: tl.constexpr, LEVELS: tl.constexpr,
    HAS_BIAS: tl.constexpr, UNIT: tl.constexpr, ROTARY: tl.constexpr, NUMERATOR: tl.constexpr,
    FACTOR: tl.constexpr,
):  # fmt: skip
    """Normalizes, rotates and quantizes HEADS heads, from head FIRST on, of rows of a product.

    Into (lanes, HEADS, capacity, D) where RING, else into (rows, HEADS, D); scales too.
    """
    index, pair = tl.arange(0, ROWS * HEAD_BLOCK), tl.arange(0, HALF_BLOCK)
    row = tl.program_id(0).to(tl.int64) * ROWS + index // HEAD_BLOCK
    head = index % HEAD_BLOCK
    is_head, is_pair = (row < rows) & (head < HEADS), pair < D // 2
    inside = is_head[:, None] & is_pair[None, :]
    column = ((FIRST + head) * D)[:, None] + pair[None, :]
    scale = tl.load(s + row, row < rows, 0.0)[:, None]
    line, behind = sums + (row * width)[:, None], behind_low(rows, width)
    x = dequantized(line + column, behind, scale, ws, bias, column, inside, LEVELS, HAS_BIAS)
    column += D // 2
    y = dequantized(line + column, behind, scale, ws, bias, column, inside, LEVELS, HAS_BIAS)
    if UNIT:
        x, y = _unit(x, y, tl.load(eps_sum), NUMERATOR)
    position = tl.load(clock) + row % steps
    if ROTARY:
        at = (position % period * (D // 2))[:, None] + pair[None, :]
        c, d = tl.load(cos + at, inside, 0.0), tl.load(sin + at, inside, 0.0)
        x, y = x * c - y * d, y * c + x * d
    if RING:
        vector = (row // steps * HEADS + head) * capacity + position % capacity
    else:
        vector = row * HEADS + head
    _quantize_heads(x, y, q, qs, vector, is_head, pair, D, FACTOR)


@triton.jit(do_not_specialize=["rows", "steps", "capacity"])
def split(
    rows, sums, s, ws, bias, clock, cos, sin, eps_sum, queries, query_scales, k, ks, v, vs,
    steps, capacity, period, width, ROWS: tl.constexpr, BLOCK: tl.constexpr,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, D: tl.constexpr, HEAD_BLOCK: tl.constexpr,
    KV_BLOCK: tl.constexpr, HALF_BLOCK: tl.constexpr, LEVELS: tl.constexpr,
    HAS_BIAS: tl.constexpr, UNIT: tl.constexpr, ROTARY: tl.constexpr, NUMERATOR: tl.constexpr,
    QUERY_SCALE: tl.constexpr,
):  # fmt: skip
    """Splits rows of the qkv product into queries and, in the rings, keys and values."""
    _heads(
        rows, sums, s, ws, bias, clock, cos, sin, eps_sum, queries, query_scales, steps, capacity,
        period, width, ROWS, 0, HEADS, HEAD_BLOCK, D, HALF_BLOCK, False, LEVELS, HAS_BIAS, UNIT,
        ROTARY, NUMERATOR, QUERY_SCALE,
    )  # fmt: skip
    _heads(
        rows, sums, s, ws, bias, clock, cos, sin, eps_sum, k, ks, steps, capacity,
        period, width, ROWS, HEADS, KV_HEADS, KV_BLOCK, D, HALF_BLOCK, True, LEVELS, HAS_BIAS, UNIT,
        ROTARY, NUMERATOR, 1.0,
    )  # fmt: skip
    _heads(
        rows, sums, s, ws, bias, clock, cos, sin, eps_sum, v, vs, steps, capacity,
        period, width, ROWS, HEADS + KV_HEADS, KV_HEADS, KV_BLOCK, D, HALF_BLOCK, True, LEVELS,
        HAS_BIAS, False, False, NUMERATOR, 1.0,
    )  # fmt: skip


@triton.jit
def _slots(start, first_slot, count, capacity, BLOCK_S: tl.constexpr):
    """Returns the ring slots of keys start, start + 1, ..., and which of them there are."""
    key = start + tl.arange(0, BLOCK_S)
    slot = first_slot + key
    return key, tl.where(slot >= capacity, slot - capacity, slot), key < count


@triton.jit
def _scores(query, query_scale, age, k, ks, key, slot, is_key, window, channel, D: tl.constexpr):
    """Returns exponents (queries, keys), int32; `age` is each query's distance to key 0."""
    where = slot[None, :] * D + channel[:, None]
    keys = tl.load(k + where, is_key[None, :] & (channel < D)[:, None], 0)
    dots = tl.dot(query, keys, out_dtype=tl.int32)
    t = (dots.to(tl.float32) * query_scale[:, None]) * tl.load(ks + slot, is_key, 0.0)[None, :]
    z = round_even(tl.minimum(tl.maximum(t, -MAX_EXPONENT), MAX_EXPONENT))
    distance = age[:, None] - key[None, :]
    return tl.where((distance >= 0) & (distance < window) & is_key[None, :], z, UNSEEN)


@triton.jit(do_not_specialize=["steps", "window", "capacity", "tiles"])
def attend(
    queries, query_scales, k, ks, v, vs, clock, table, out, steps, window, capacity, tiles,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, D: tl.constexpr, BLOCK_T: tl.constexpr,
    GROUP_BLOCK: tl.constexpr, BLOCK_S: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Attention of BLOCK_T steps of one lane and one key/value head; out float32 (rows, HEADS, D).

    Queries of a tile are (step, head of the group) pairs. Keys are counted from the oldest that the
    tile's first query sees.
    """
    GROUP: tl.constexpr = HEADS // KV_HEADS
    program = tl.program_id(0)
    tile, g, lane = program % tiles, (program // tiles) % KV_HEADS, program // (tiles * KV_HEADS)
    index, channel = tl.arange(0, BLOCK_T * GROUP_BLOCK), tl.arange(0, BLOCK_D)
    step, member = tile * BLOCK_T + index // GROUP_BLOCK, index % GROUP_BLOCK
    is_query = (step < steps) & (member < GROUP)
    vector = (lane.to(tl.int64) * steps + step) * HEADS + g * GROUP + member
    where = (vector * D)[:, None] + channel[None, :]
    inside = is_query[:, None] & (channel < D)[None, :]
    query = tl.load(queries + where, inside, 0)
    query_scale = tl.load(query_scales + vector, is_query, 0.0)

    position = tl.load(clock)
    oldest = tl.maximum(tile * BLOCK_T - window + 1, -position)  # relative to the first new token
    first_slot = ((position + oldest) % capacity).to(tl.int32)
    oldest = oldest.to(tl.int32)
    count = tl.minimum((tile + 1) * BLOCK_T, steps) - oldest
    age = step - oldest
    base = (lane.to(tl.int64) * KV_HEADS + g) * capacity
    k += base * D
    v += base * D
    ks += base
    vs += base

    largest = tl.full((BLOCK_T * GROUP_BLOCK,), UNSEEN, tl.int32)
    for start in range(0, count, BLOCK_S):
        key, slot, is_key = _slots(start, first_slot, count, capacity, BLOCK_S)
        z = _scores(query, query_scale, age, k, ks, key, slot, is_key, window, channel, D)
        largest = tl.maximum(largest, tl.max(z, axis=1))

    total = tl.zeros((BLOCK_T * GROUP_BLOCK,), tl.int32)  # at most 8,192 * 2**16
    most = tl.full((BLOCK_T * GROUP_BLOCK,), TINY, tl.float32)
    for start in range(0, count, BLOCK_S):
        key, slot, is_key = _slots(start, first_slot, count, capacity, BLOCK_S)
        z = _scores(query, query_scale, age, k, ks, key, slot, is_key, window, channel, D)
        e = exp2_negative(largest[:, None] - z, table)
        total += tl.sum(e, axis=1)
        weight = e.to(tl.float32) * tl.load(vs + slot, is_key, 0.0)[None, :]
        most = tl.maximum(most, tl.max(weight, axis=1))

    inverse = tl.div_rn(ATTENTION_LEVELS, most)[:, None]
    # Weights of 11 bits as two int8 digits to base 128; each sum stays below 2**31.
    high = tl.zeros((BLOCK_T * GROUP_BLOCK, BLOCK_D), tl.int32)
    low = tl.zeros((BLOCK_T * GROUP_BLOCK, BLOCK_D), tl.int32)
    for start in range(0, count, BLOCK_S):
        key, slot, is_key = _slots(start, first_slot, count, capacity, BLOCK_S)
        z = _scores(query, query_scale, age, k, ks, key, slot, is_key, window, channel, D)
        e = exp2_negative(largest[:, None] - z, table)
        weight = e.to(tl.float32) * tl.load(vs + slot, is_key, 0.0)[None, :]
        p = round_even(weight * inverse)
        at = slot[:, None] * D + channel[None, :]
        values = tl.load(v + at, is_key[:, None] & (channel < D)[None, :], 0)
        high = tl.dot((p >> 7).to(tl.int8), values, high, out_dtype=tl.int32)
        low = tl.dot((p & 127).to(tl.int8), values, low, out_dtype=tl.int32)

    factor = tl.div_rn(most * PER_ATTENTION_LEVEL, total.to(tl.float32))[:, None]
    tl.store(out + where, (high * 128 + low).to(tl.float32) * factor, inside)
