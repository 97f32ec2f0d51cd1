"""The LLVM code of attention's products in AVX-512 VNNI, for several queries at once.

`vpdpbusd` multiplies four bytes without a sign by four with one. Keys lie in their ring with 128
added, which takes 128 times the query's sum off each dot product. Weights have eleven bits: their
lower bytes and their upper ones are multiplied by the values apart.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lmcompress.gpt.cpu.rings import BLOCK, GROUP, TUPLE
from lmcompress.jit.simd import (
    I64,
    SUMS,
    WIDE_SUMS,
    add_byte_products,
    broadcast_load,
    integers,
    load,
    loop,
    pointers,
    store,
)

_BLOCKS = 4
"""Blocks of keys whose dot products are summed side by side."""
_ACCUMULATORS = 16
"""Registers of sums over values: of all queries, and of lower and upper bytes."""
_CHANNELS = WIDE_SUMS.count


@functools.cache
def dots(head_dim: int, queries: int) -> Any:
    """Returns an intrinsic: z = queries @ keys.T, over so many blocks of keys.

    Queries lie one behind the other, rows of z `row_bytes` apart.
    """

    @intrinsic
    def dots(_typing, query, keys, z, row_bytes, blocks):
        def codegen(context, builder, _signature, args):
            query, keys, z = pointers(builder, args[:3])
            starts = [_start(builder, query, q, head_dim) for q in range(queries)]
            whole = builder.and_(args[4], ir.Constant(I64, -_BLOCKS))
            rest = builder.sub(args[4], whole)
            _emit_dots(builder, query, starts, keys, z, args[3], whole, _BLOCKS, head_dim)
            keys = builder.gep(keys, [builder.mul(whole, ir.Constant(I64, BLOCK * head_dim))])
            z = builder.gep(z, [builder.mul(whole, ir.Constant(I64, 4 * BLOCK))])
            _emit_dots(builder, query, starts, keys, z, args[3], rest, 1, head_dim)
            return context.get_dummy_value()

        return types.void(query, keys, z, row_bytes, blocks), codegen

    return dots


def _start(builder: Any, query: Any, q: int, head_dim: int) -> Any:
    """Emits -128 times the sum of a query, in each number of a register."""
    total = ir.Constant(WIDE_SUMS, None)
    flips = integers([0x80808080 - (1 << 32)] * WIDE_SUMS.count)  # four bytes of 128 each
    for c in range(0, head_dim, GROUP):
        factor = broadcast_load(builder, query, WIDE_SUMS, q * head_dim + c)
        total = add_byte_products(builder, total, flips, factor)
    return builder.sub(ir.Constant(WIDE_SUMS, None), total)


def _emit_dots(
    builder: Any,
    query: Any,
    starts: Sequence[Any],
    keys: Any,
    z: Any,
    row_bytes: Any,
    count: Any,
    together: int,
    head_dim: int,
) -> None:
    """Emits a loop over blocks of keys, so many at a time, with sums for each query."""
    block_bytes = BLOCK * head_dim

    def body(j: Any, _carried: Sequence[Any]) -> list[Any]:
        block = builder.gep(keys, [builder.mul(j, ir.Constant(I64, block_bytes))])
        totals = [[start] * together for start in starts]
        for c in range(0, head_dim, GROUP):
            offsets = [i * block_bytes + c * BLOCK for i in range(together)]
            found = [load(builder, block, WIDE_SUMS, offset) for offset in offsets]
            for q, mine in enumerate(totals):
                factor = broadcast_load(builder, query, WIDE_SUMS, q * head_dim + c)
                totals[q] = [
                    add_byte_products(builder, total, key, factor)
                    for total, key in zip(mine, found, strict=True)
                ]
        at = builder.mul(j, ir.Constant(I64, 4 * BLOCK))
        for mine in totals:
            for i, total in enumerate(mine):
                column = builder.add(at, ir.Constant(I64, 4 * BLOCK * i))
                store(builder, total, builder.gep(z, [column]))
            at = builder.add(at, row_bytes)
        return []

    loop(builder, count, together, [], body)


@functools.cache
def weighted_sums(head_dim: int, queries: int) -> Any:
    """Returns an intrinsic: acc += p @ values, four keys at a time, `count` times.

    Rows of p are `row_bytes` apart, those of acc one behind the other.
    """
    chunk = _CHANNELS * _ACCUMULATORS // (2 * queries)

    @intrinsic
    def weighted_sums(_typing, p, row_bytes, values, acc, count):
        def codegen(context, builder, _signature, args):
            p, values, acc = pointers(builder, (args[0], *args[2:4]))
            rows = [
                builder.gep(p, [builder.mul(args[1], ir.Constant(I64, q))]) for q in range(queries)
            ]
            for first in range(0, head_dim, chunk):
                registers = list(_registers(first, min(first + chunk, head_dim)))
                _emit_chunk(builder, rows, values, acc, args[4], registers, head_dim)
            return context.get_dummy_value()

        return types.void(p, row_bytes, values, acc, count), codegen

    return weighted_sums


def _registers(first: int, stop: int) -> Iterator[tuple[int, Any]]:
    """Yields the first channel and the type of each register of sums: 16 channels, or 8 at last."""
    for c in range(first, stop, _CHANNELS):
        yield c, WIDE_SUMS if c + _CHANNELS <= stop else SUMS


def _emit_chunk(
    builder: Any,
    rows: Sequence[Any],
    values: Any,
    acc: Any,
    count: Any,
    registers: Sequence[tuple[int, Any]],
    head_dim: int,
) -> None:
    """Emits a loop over tuples of keys; the sums of some channels stay in registers."""
    places = [
        (q, plane, i) for q in range(len(rows)) for plane in (0, 1) for i in range(len(registers))
    ]

    def body(j: Any, sums: Sequence[Any]) -> list[Any]:
        at = builder.mul(j, ir.Constant(I64, 2 * TUPLE))
        tuples = builder.gep(values, [builder.mul(j, ir.Constant(I64, TUPLE * head_dim))])
        found = [load(builder, tuples, kind, TUPLE * c) for c, kind in registers]
        weights = [builder.gep(row, [at]) for row in rows]
        return [
            add_byte_products(
                builder,
                total,
                broadcast_load(builder, weights[q], total.type, TUPLE * plane),
                found[i],
            )
            for total, (q, plane, i) in zip(sums, places, strict=True)
        ]

    none = [ir.Constant(registers[i][1], None) for _, _, i in places]
    after = dict(zip(places, loop(builder, count, 1, none, body), strict=True))
    for q in range(len(rows)):
        for i, (c, kind) in enumerate(registers):
            upper = builder.shl(after[q, 1, i], integers([8] * kind.count))
            at = builder.gep(acc, [ir.Constant(I64, 4 * (q * head_dim + c))])
            before = load(builder, at, kind)
            store(builder, builder.add(before, builder.add(after[q, 0, i], upper)), at)
