"""The LLVM code of attention's loops in AVX2, each as an intrinsic that kernels call by addresses.

Dot products multiply bytes: `vpmaddubsw` takes one factor without its sign, so the query gives its
sign to the key, and sums of two products stay below 2**15 as no factor is beyond 127.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lmcompress.gpt.cpu.attention_plain import LOWEST
from lmcompress.gpt.cpu.kernels import BITS, MAGIC, MASK, MAX_EXPONENT
from lmcompress.gpt.cpu.rings import BLOCK
from lmcompress.jit.prefetch import CACHE_LINE, emit_prefetch
from lmcompress.jit.simd import (
    BYTES,
    I8,
    I32,
    I64,
    MORE_BYTES,
    REALS,
    SUMS,
    WORDS,
    broadcast,
    broadcast_load,
    declare,
    integers,
    load,
    loop,
    multiply_byte_pairs,
    multiply_pairs,
    reals,
    store,
    with_signs,
)

_CHUNK = 64
"""Channels whose sums over values stay in registers together."""


def dots(head_dim: int, together: int) -> Any:
    """Returns an intrinsic: z = keys @ query, so many blocks at a time, of `count`."""
    block_bytes = BLOCK * head_dim

    @intrinsic
    def dots(_typing, query, magnitudes, keys, z, count, following):
        def codegen(context, builder, _signature, args):
            query, magnitudes, keys, z, following = _pointers(builder, (*args[:4], args[5]))
            ones = ir.Constant(WORDS, [1] * 16)

            def body(j: Any, _carried: Sequence[Any]) -> list[Any]:
                offset = builder.mul(j, ir.Constant(I64, block_bytes))
                block = builder.gep(keys, [offset])
                _emit_prefetches(builder, following, offset, together * block_bytes)
                totals = [ir.Constant(SUMS, None)] * together
                for c in range(0, head_dim, 4):
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

            loop(builder, args[4], together, [], body)
            return context.get_dummy_value()

        return types.void(query, magnitudes, keys, z, count, following), codegen

    return dots


@intrinsic
def exponents(_typing, z, scales, count, scale, first, stop):
    """As `attention_plain.exponents`; count is a multiple of 8."""

    def codegen(context, builder, _signature, args):
        z, scales = _pointers(builder, args[:2])
        count, scale, first, stop = args[2:]
        scale = broadcast(builder, scale, REALS)
        first, stop = (broadcast(builder, builder.trunc(x, I32), SUMS) for x in (first, stop))
        top, magic = reals(MAX_EXPONENT), reals(MAGIC)

        def body(j: Any, carried: Sequence[Any]) -> list[Any]:
            offset = builder.mul(j, ir.Constant(I64, 4))
            at = builder.gep(z, [offset])
            t = builder.fmul(builder.sitofp(load(builder, at, SUMS), REALS), scale)
            t = builder.fmul(t, load(builder, builder.gep(scales, [offset]), REALS))
            t = builder.select(builder.fcmp_ordered("<", t, top), t, top)
            low = builder.fneg(top)
            t = builder.select(builder.fcmp_ordered(">", t, low), t, low)
            found = builder.fptosi(builder.fsub(builder.fadd(t, magic), magic), SUMS)
            index = broadcast(builder, builder.trunc(j, I32), SUMS)
            index = builder.add(index, integers(range(8)))
            is_seen = builder.and_(
                builder.icmp_signed(">=", index, first), builder.icmp_signed("<", index, stop)
            )
            found = builder.select(is_seen, found, integers([LOWEST] * 8))
            store(builder, found, at)
            largest = carried[0]
            return [builder.select(builder.icmp_signed(">", found, largest), found, largest)]

        [largest] = loop(builder, count, 8, [integers([LOWEST] * 8)], body)
        return _across(builder, "smax", largest)

    return types.int32(z, scales, count, scale, first, stop), codegen


@intrinsic
def softmax(_typing, z, largest, table, scales, f, count):
    """As `attention_plain.softmax`; count is a multiple of 8."""

    def codegen(context, builder, signature, args):
        z, table, scales, f = _pointers(builder, (args[0], *args[2:5]))
        largest = broadcast(builder, args[1], SUMS)
        gather = declare(
            builder, "llvm.x86.avx2.gather.d.d.256", SUMS, [SUMS, I8.as_pointer(), SUMS, SUMS, I8]
        )
        every, four = integers([-1] * 8), ir.Constant(I8, 4)

        def body(j: Any, carried: Sequence[Any]) -> list[Any]:
            offset = builder.mul(j, ir.Constant(I64, 4))
            delta = builder.sub(largest, load(builder, builder.gep(z, [offset]), SUMS))
            index = builder.and_(delta, integers([int(MASK)] * 8))
            whole = builder.lshr(delta, integers([int(BITS)] * 8))
            most = integers([31] * 8)
            whole = builder.select(builder.icmp_unsigned("<", whole, most), whole, most)
            found = builder.call(gather, [ir.Constant(SUMS, None), table, index, every, four])
            e = builder.lshr(found, whole)
            scale = load(builder, builder.gep(scales, [offset]), REALS)
            product = builder.fmul(builder.sitofp(e, REALS), scale)
            store(builder, product, builder.gep(f, [offset]))
            bits = builder.bitcast(product, SUMS)  # no sign: positive floats sort like integers
            most = builder.select(builder.icmp_signed(">", bits, carried[1]), bits, carried[1])
            return [builder.add(carried[0], e), most]

        none = ir.Constant(SUMS, None)
        total, bits = loop(builder, args[5], 8, [none, none], body)
        most = builder.bitcast(_across(builder, "smax", bits), ir.FloatType())
        found = [_across(builder, "add", total), most]
        return context.make_tuple(builder, signature.return_type, found)

    return types.Tuple((types.int32, types.float32))(z, largest, table, scales, f, count), codegen


@intrinsic
def quantize(_typing, f, inverse, p, count):
    """As `attention_plain.quantize`; count is a multiple of 8."""

    def codegen(context, builder, _signature, args):
        f, p = _pointers(builder, (args[0], args[2]))
        inverse, magic = broadcast(builder, args[1], REALS), reals(MAGIC)

        def body(j: Any, _carried: Sequence[Any]) -> list[Any]:
            at = builder.gep(f, [builder.mul(j, ir.Constant(I64, 4))])
            t = builder.fmul(load(builder, at, REALS), inverse)
            t = builder.fptosi(builder.fsub(builder.fadd(t, magic), magic), SUMS)
            half = ir.VectorType(ir.IntType(16), 8)
            store(
                builder,
                builder.trunc(t, half),
                builder.gep(p, [builder.mul(j, ir.Constant(I64, 2))]),
            )
            return []

        loop(builder, args[3], 8, [], body)
        return context.get_dummy_value()

    return types.void(f, inverse, p, count), codegen


def weighted_sums(head_dim: int) -> Any:
    """Returns an intrinsic: acc += p @ values, two keys at a time, `count` times."""

    @intrinsic
    def weighted_sums(_typing, p, values, acc, count, following):
        def codegen(context, builder, _signature, args):
            p, values, acc, following = _pointers(builder, (*args[:3], args[4]))
            for chunk in range(0, head_dim, _CHUNK):
                channels = range(chunk, min(chunk + _CHUNK, head_dim), 8)
                _emit_chunk(builder, p, values, acc, args[3], channels, head_dim, following)
            return context.get_dummy_value()

        return types.void(p, values, acc, count, following), codegen

    return weighted_sums


def _emit_chunk(
    builder: Any,
    p: Any,
    values: Any,
    acc: Any,
    count: Any,
    channels: range,
    head_dim: int,
    following: Any,
) -> None:
    """Emits a loop over pairs of keys; the sums of some channels stay in registers."""
    before = [load(builder, acc, SUMS, 4 * c) for c in channels]

    def body(j: Any, sums: Sequence[Any]) -> list[Any]:
        pair = builder.gep(p, [builder.mul(j, ir.Constant(I64, 4))])
        weights = broadcast_load(builder, pair, WORDS)
        offset = builder.mul(j, ir.Constant(I64, 2 * head_dim))
        row = builder.gep(values, [offset])
        if channels[0] == 0:
            _emit_prefetches(builder, following, offset, 2 * head_dim)
        both = [builder.sext(load(builder, row, BYTES, 2 * c), WORDS) for c in channels]
        return [
            builder.add(total, multiply_pairs(builder, value, weights))
            for total, value in zip(sums, both, strict=True)
        ]

    after = loop(builder, count, 1, before, body)
    for c, total in zip(channels, after, strict=True):
        store(builder, total, builder.gep(acc, [ir.Constant(I64, 4 * c)]))


def _emit_prefetches(builder: Any, start: Any, offset: Any, num_bytes: int) -> None:
    """Emits requests for the bytes at an offset from where the next loop will read."""
    for line in range(0, num_bytes, CACHE_LINE):
        at = builder.add(offset, ir.Constant(I64, line))
        emit_prefetch(builder, builder.gep(start, [at]))


def _across(builder: Any, operation: str, vector: Any) -> Any:
    """Emits the sum or the largest of a register's integers."""
    name = f"llvm.vector.reduce.{operation}.v8i32"
    return builder.call(declare(builder, name, I32, [SUMS]), [vector])


def _pointers(builder: Any, addresses: Sequence[Any]) -> list[Any]:
    return [builder.inttoptr(address, ir.PointerType(I8)) for address in addresses]
