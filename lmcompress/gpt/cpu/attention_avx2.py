"""The LLVM code of attention's products in AVX2, each as an intrinsic that kernels call by address.

Dot products multiply bytes: `vpmaddubsw` takes one factor without its sign, so the query gives its
sign to the key, and sums of two products stay below 2**15 as no factor is beyond 127.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lmcompress.gpt.cpu.rings import BLOCK, GROUP
from lmcompress.jit.simd import (
    BYTES,
    I64,
    MORE_BYTES,
    SUMS,
    WORDS,
    broadcast_load,
    load,
    loop,
    multiply_byte_pairs,
    multiply_pairs,
    pointers,
    store,
    with_signs,
)

_BLOCKS = 4
"""Blocks of keys whose dot products are summed side by side."""
_CHUNK = 64
"""Channels whose sums over values stay in registers together."""


@functools.cache
def dots(head_dim: int) -> Any:
    """Returns an intrinsic: z = keys @ query, over so many blocks of keys."""

    @intrinsic
    def dots(_typing, query, magnitudes, keys, z, blocks):
        def codegen(context, builder, _signature, args):
            query, magnitudes, keys, z = pointers(builder, args[:4])
            whole = builder.and_(args[4], ir.Constant(I64, -_BLOCKS))
            rest = builder.sub(args[4], whole)
            _emit_dots(builder, query, magnitudes, keys, z, whole, _BLOCKS, head_dim)
            keys = builder.gep(keys, [builder.mul(whole, ir.Constant(I64, BLOCK * head_dim))])
            z = builder.gep(z, [builder.mul(whole, ir.Constant(I64, 4 * BLOCK))])
            _emit_dots(builder, query, magnitudes, keys, z, rest, 1, head_dim)
            return context.get_dummy_value()

        return types.void(query, magnitudes, keys, z, blocks), codegen

    return dots


def _emit_dots(
    builder: Any,
    query: Any,
    magnitudes: Any,
    keys: Any,
    z: Any,
    count: Any,
    together: int,
    head_dim: int,
) -> None:
    """Emits a loop over blocks of keys, so many at a time."""
    block_bytes, ones = BLOCK * head_dim, ir.Constant(WORDS, [1] * 16)

    def body(j: Any, _carried: Sequence[Any]) -> list[Any]:
        block = builder.gep(keys, [builder.mul(j, ir.Constant(I64, block_bytes))])
        totals = [ir.Constant(SUMS, None)] * together
        for c in range(0, head_dim, GROUP):
            sign = broadcast_load(builder, query, MORE_BYTES, c)
            size = broadcast_load(builder, magnitudes, MORE_BYTES, c)
            for i, total in enumerate(totals):
                key = load(builder, block, MORE_BYTES, i * block_bytes + c * BLOCK)
                pairs = multiply_byte_pairs(builder, size, with_signs(builder, key, sign))
                totals[i] = builder.add(total, multiply_pairs(builder, pairs, ones))
        at = builder.gep(z, [builder.mul(j, ir.Constant(I64, 4 * BLOCK))])
        for i, total in enumerate(totals):
            store(builder, total, builder.gep(at, [ir.Constant(I64, 4 * BLOCK * i)]))
        return []

    loop(builder, count, together, [], body)


@functools.cache
def weighted_sums(head_dim: int) -> Any:
    """Returns an intrinsic: acc += p @ values, two keys at a time, `count` times."""

    @intrinsic
    def weighted_sums(_typing, p, values, acc, count):
        def codegen(context, builder, _signature, args):
            p, values, acc = pointers(builder, args[:3])
            for chunk in range(0, head_dim, _CHUNK):
                channels = range(chunk, min(chunk + _CHUNK, head_dim), 8)
                _emit_chunk(builder, p, values, acc, args[3], channels, head_dim)
            return context.get_dummy_value()

        return types.void(p, values, acc, count), codegen

    return weighted_sums


def _emit_chunk(
    builder: Any,
    p: Any,
    values: Any,
    acc: Any,
    count: Any,
    channels: range,
    head_dim: int,
) -> None:
    """Emits a loop over pairs of keys; the sums of some channels stay in registers."""
    before = [load(builder, acc, SUMS, 4 * c) for c in channels]

    def body(j: Any, sums: Sequence[Any]) -> list[Any]:
        pair = builder.gep(p, [builder.mul(j, ir.Constant(I64, 4))])
        weights = broadcast_load(builder, pair, WORDS)
        row = builder.gep(values, [builder.mul(j, ir.Constant(I64, 2 * head_dim))])
        both = [builder.sext(load(builder, row, BYTES, 2 * c), WORDS) for c in channels]
        return [
            builder.add(total, multiply_pairs(builder, value, weights))
            for total, value in zip(sums, both, strict=True)
        ]

    after = loop(builder, count, 1, before, body)
    for c, total in zip(channels, after, strict=True):
        store(builder, total, builder.gep(acc, [ir.Constant(I64, 4 * c)]))
