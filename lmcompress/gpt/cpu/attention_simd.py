"""The two sums of attention over int8 keys and values in AVX2's `vpmaddwd`, for `attention.py`.

Left to itself, LLVM reads and writes the sums over values in memory for each key: 16 nanoseconds a
key, where 1.5 are enough. Integer sums: the same bits as the plain loops, which take their place
on processors without AVX2 and for heads whose channels are not a multiple of 16.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lmcompress.gpt.cpu import matmul
from lmcompress.jit.compiler import device_function, kernel
from lmcompress.jit.simd import (
    BYTES,
    I8,
    I16,
    I32,
    I64,
    SUMS,
    WORDS,
    add_across,
    load,
    multiply_pairs,
    shuffle,
    store,
)

_STEP = 16
"""Channels that one instruction multiplies."""
_CHUNK = 64
"""Channels whose sums stay in registers together."""
_KEYS = 8
"""Keys whose dot products are summed across together."""


def fits(head_dim: int) -> bool:
    """Whether sums over heads of so many channels can be computed here."""
    return head_dim % _STEP == 0 and is_usable()


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instructions, numba may use them, and known answers come."""
    if matmul.first_supported(matmul.AVX2) is None:
        return False
    num_keys = _KEYS + 3
    keys = np.full((num_keys, _STEP), 127, np.int8)
    keys[1::2] = -127
    query, weights = np.full(_STEP, -127, np.int16), np.full(num_keys, 2047, np.int16)
    z, acc = np.empty(num_keys, np.int32), np.zeros(_STEP, np.int32)
    try:
        _known_answers(query, keys, z, weights, acc)
    except Exception:  # another LLVM may know the instruction by another name
        return False
    wide = keys.astype(np.int64)
    return np.array_equal(z, wide @ query) and np.array_equal(acc, weights @ wide)


def dot_products(head_dim: int) -> Callable[..., Any]:
    """Returns dots(query int16 (D,), keys int8 (n, D), z int32 (n,)): z = keys @ query."""
    return _make_dot_products(head_dim) if fits(head_dim) else _plain_dot_products


def _make_dot_products(head_dim: int) -> Callable[..., Any]:
    several, one = _dots(head_dim, _KEYS), _dots(head_dim, 1)

    @device_function
    def dots(query, keys, z):
        n = keys.shape[0]
        q_at, k_at, z_at = query.ctypes.data, keys.ctypes.data, z.ctypes.data
        whole = n // _KEYS * _KEYS
        several(q_at, k_at, z_at, np.int64(whole))
        one(q_at, k_at + whole * head_dim, z_at + 4 * whole, np.int64(n - whole))

    return dots


def weighted_sum(head_dim: int) -> Callable[..., Any]:
    """Returns add(p int16 (n,), values int8 (n, D), acc int32 (D,)): acc += p @ values."""
    return _make_weighted_sum(head_dim) if fits(head_dim) else _plain_weighted_sum


def _make_weighted_sum(head_dim: int) -> Callable[..., Any]:
    two, one = _weighted(head_dim, 2), _weighted(head_dim, 1)

    @device_function
    def add(p, values, acc):
        n = values.shape[0]
        p_at, v_at, acc_at = p.ctypes.data, values.ctypes.data, acc.ctypes.data
        whole = n // 2 * 2
        two(p_at, v_at, acc_at, np.int64(whole))
        one(p_at + 2 * whole, v_at + whole * head_dim, acc_at, np.int64(n - whole))

    return add


@device_function
def _plain_dot_products(query, keys, z):
    for j in range(keys.shape[0]):
        dot = np.int32(0)
        for d in range(query.shape[0]):
            dot += np.int32(query[d]) * np.int32(np.int16(keys[j, d]))
        z[j] = dot


@device_function
def _plain_weighted_sum(p, values, acc):
    for j in range(values.shape[0]):
        weight = np.int32(p[j])
        for d in range(acc.shape[0]):
            acc[d] += weight * np.int32(values[j, d])


def _dots(head_dim: int, keys: int) -> Any:
    """Returns an intrinsic: so many keys at a time, of `count`, a multiple of it."""

    @intrinsic
    def dots(_typing, query, k, z, count):
        def codegen(context, builder, _signature, args):
            query, k, z = _pointers(builder, args[:3])
            parts = [load(builder, query, WORDS, 2 * c) for c in range(0, head_dim, _STEP)]

            def body(j: Any, _carried: Sequence[Any]) -> list[Any]:
                first = builder.gep(k, [builder.mul(j, ir.Constant(I64, head_dim))])
                sums = [_dot(builder, parts, first, i * head_dim) for i in range(keys)]
                at = builder.gep(z, [builder.mul(j, ir.Constant(I64, 4))])
                store(builder, add_across(builder, sums), at)
                return []

            _loop(builder, args[3], keys, [], body)
            return context.get_dummy_value()

        return types.void(query, k, z, count), codegen

    return dots


def _dot(builder: Any, query: Sequence[Any], keys: Any, offset: int) -> Any:
    """Emits the products of a query with the key at an offset, in eight partial sums."""
    total = ir.Constant(SUMS, None)
    for c, part in enumerate(query):
        key = builder.sext(load(builder, keys, BYTES, offset + c * _STEP), WORDS)
        total = builder.add(total, multiply_pairs(builder, part, key))
    return total


def _weighted(head_dim: int, keys: int) -> Any:
    """Returns an intrinsic: one or two values at a time, of `count`, a multiple of it."""

    @intrinsic
    def weighted(_typing, p, v, acc, count):
        def codegen(context, builder, _signature, args):
            p, v, acc = _pointers(builder, args[:3])
            for chunk in range(0, head_dim, _CHUNK):
                channels = range(chunk, min(chunk + _CHUNK, head_dim), _STEP)
                _emit_chunk(builder, p, v, acc, args[3], channels, head_dim, keys)
            return context.get_dummy_value()

        return types.void(p, v, acc, count), codegen

    return weighted


def _emit_chunk(
    builder: Any, p: Any, v: Any, acc: Any, count: Any, channels: range, head_dim: int, keys: int
) -> None:
    """Emits a loop over values; the sums of some channels stay in registers."""
    halves = [c + half for c in channels for half in (0, _STEP // 2)]
    before = [load(builder, acc, SUMS, 4 * c) for c in halves]

    def body(j: Any, sums: Sequence[Any]) -> list[Any]:
        weights = _weights(builder, builder.gep(p, [builder.shl(j, ir.Constant(I64, 1))]), keys)
        row = builder.gep(v, [builder.mul(j, ir.Constant(I64, head_dim))])
        pairs = [pair for c in channels for pair in _value_pairs(builder, row, c, head_dim, keys)]
        return [
            builder.add(total, multiply_pairs(builder, pair, weights))
            for total, pair in zip(sums, pairs, strict=True)
        ]

    after = _loop(builder, count, keys, before, body)
    for c, total in zip(halves, after, strict=True):
        store(builder, total, builder.gep(acc, [ir.Constant(I64, 4 * c)]))


def _weights(builder: Any, at: Any, keys: int) -> Any:
    """Emits eight times the weights of two values (of one: the other is 0)."""
    if keys == 2:
        both = builder.load(builder.bitcast(at, ir.PointerType(I32)), align=2)
    else:
        both = builder.zext(builder.load(builder.bitcast(at, ir.PointerType(I16)), align=2), I32)
    first = builder.insert_element(ir.Constant(SUMS, ir.Undefined), both, ir.Constant(I32, 0))
    return builder.bitcast(builder.shuffle_vector(first, first, shuffle([0] * 8)), WORDS)


def _value_pairs(builder: Any, row: Any, channel: int, head_dim: int, keys: int) -> list[Any]:
    """Emits 16 channels of two values side by side, channel by channel, as 2 x 16 words."""
    a = load(builder, row, BYTES, channel)
    b = load(builder, row, BYTES, channel + head_dim) if keys == 2 else ir.Constant(BYTES, None)
    pairs = [i + other for i in range(_STEP) for other in (0, _STEP)]
    return [
        builder.sext(builder.shuffle_vector(a, b, shuffle(half)), WORDS)
        for half in (pairs[:_STEP], pairs[_STEP:])
    ]


def _loop(
    builder: Any,
    count: Any,
    step: int,
    carried: Sequence[Any],
    body: Callable[[Any, Sequence[Any]], list[Any]],
) -> list[Any]:
    """Emits a loop over j = 0, step, .. below count; returns what is carried, after it."""
    entry = builder.block
    head, inside, done = (builder.append_basic_block(name) for name in ("head", "inside", "done"))
    builder.branch(head)
    builder.position_at_end(head)
    j = builder.phi(I64)
    j.add_incoming(ir.Constant(I64, 0), entry)
    values = [builder.phi(value.type) for value in carried]
    for value, first in zip(values, carried, strict=True):
        value.add_incoming(first, entry)
    builder.cbranch(builder.icmp_signed("<", j, count), inside, done)
    builder.position_at_end(inside)
    following = body(j, values)
    j.add_incoming(builder.add(j, ir.Constant(I64, step)), builder.block)
    for value, last in zip(values, following, strict=True):
        value.add_incoming(last, builder.block)
    builder.branch(head)
    builder.position_at_end(done)
    return values


def _pointers(builder: Any, addresses: Sequence[Any]) -> list[Any]:
    return [builder.inttoptr(address, ir.PointerType(I8)) for address in addresses]


_known_dots = _make_dot_products(_STEP)
_known_sum = _make_weighted_sum(_STEP)


@kernel
def _known_answers(query, keys, z, weights, acc):
    _known_dots(query, keys, z)
    _known_sum(weights, keys, acc)
    # Only the addresses were used above: this keeps the arrays alive until here.
    return query[0] + keys[0, 0] + z[0] + weights[0] + acc[0]
