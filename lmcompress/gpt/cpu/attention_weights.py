"""The LLVM code of attention's loops from dot products to weights, for registers of 8 or 16."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lmcompress.gpt.cpu.attention_plain import LOWEST
from lmcompress.gpt.cpu.kernels import BITS, MAGIC, MASK, MAX_EXPONENT
from lmcompress.jit.simd import (
    I8,
    I16,
    I32,
    I64,
    broadcast,
    declare,
    integers,
    load,
    loop,
    pointers,
    reals,
    shuffle,
    store,
)


@functools.cache
def exponents(width: int) -> Any:
    """Returns an intrinsic: as `attention_plain.exponents`; count is a multiple of width."""

    @intrinsic
    def exponents(_typing, z, scales, count, scale, first, stop):
        def codegen(context, builder, _signature, args):
            sums, floats = _vectors(width)
            z, scales = pointers(builder, args[:2])
            count, scale, first, stop = args[2:]
            scale = broadcast(builder, scale, floats)
            first, stop = (broadcast(builder, builder.trunc(x, I32), sums) for x in (first, stop))
            top, magic = reals(MAX_EXPONENT, width), reals(MAGIC, width)
            low, lowest = builder.fneg(top), integers([LOWEST] * width)

            def body(j: Any, carried: Sequence[Any]) -> list[Any]:
                offset = builder.mul(j, ir.Constant(I64, 4))
                at = builder.gep(z, [offset])
                t = builder.fmul(builder.sitofp(load(builder, at, sums), floats), scale)
                t = builder.fmul(t, load(builder, builder.gep(scales, [offset]), floats))
                t = builder.select(builder.fcmp_ordered("<", t, top), t, top)
                t = builder.select(builder.fcmp_ordered(">", t, low), t, low)
                found = builder.fptosi(builder.fsub(builder.fadd(t, magic), magic), sums)
                index = broadcast(builder, builder.trunc(j, I32), sums)
                index = builder.add(index, integers(range(width)))
                is_seen = builder.and_(
                    builder.icmp_signed(">=", index, first), builder.icmp_signed("<", index, stop)
                )
                found = builder.select(is_seen, found, lowest)
                store(builder, found, at)
                largest = carried[0]
                return [builder.select(builder.icmp_signed(">", found, largest), found, largest)]

            [largest] = loop(builder, count, width, [lowest], body)
            return _across(builder, "smax", largest)

        return types.int32(z, scales, count, scale, first, stop), codegen

    return exponents


@functools.cache
def softmax(width: int) -> Any:
    """Returns an intrinsic: as `attention_plain.softmax`; count is a multiple of width."""

    @intrinsic
    def softmax(_typing, z, largest, table, scales, f, count):
        def codegen(context, builder, signature, args):
            sums, floats = _vectors(width)
            z, table, scales, f = pointers(builder, (args[0], *args[2:5]))
            largest = broadcast(builder, args[1], sums)

            def body(j: Any, carried: Sequence[Any]) -> list[Any]:
                offset = builder.mul(j, ir.Constant(I64, 4))
                delta = builder.sub(largest, load(builder, builder.gep(z, [offset]), sums))
                index = builder.and_(delta, integers([int(MASK)] * width))
                whole = builder.lshr(delta, integers([int(BITS)] * width))
                most = integers([31] * width)
                whole = builder.select(builder.icmp_unsigned("<", whole, most), whole, most)
                e = builder.lshr(_gather(builder, table, index), whole)
                scale = load(builder, builder.gep(scales, [offset]), floats)
                product = builder.fmul(builder.sitofp(e, floats), scale)
                store(builder, product, builder.gep(f, [offset]))
                bits = builder.bitcast(product, sums)  # no sign: these sort like integers
                most = builder.select(builder.icmp_signed(">", bits, carried[1]), bits, carried[1])
                return [builder.add(carried[0], e), most]

            none = ir.Constant(sums, None)
            total, bits = loop(builder, args[5], width, [none, none], body)
            most = builder.bitcast(_across(builder, "smax", bits), ir.FloatType())
            found = [_across(builder, "add", total), most]
            return context.make_tuple(builder, signature.return_type, found)

        pair = types.Tuple((types.int32, types.float32))
        return pair(z, largest, table, scales, f, count), codegen

    return softmax


@functools.cache
def quantize(width: int, *, in_planes: bool) -> Any:
    """Returns an intrinsic: as `attention_plain.quantize`; count is a multiple of width.

    In planes, the lower bytes of four weights come first, then their upper ones.
    """

    @intrinsic
    def quantize(_typing, f, inverse, p, count):
        def codegen(context, builder, _signature, args):
            sums, floats = _vectors(width)
            f, p = pointers(builder, (args[0], args[2]))
            inverse, magic = broadcast(builder, args[1], floats), reals(MAGIC, width)

            def body(j: Any, _carried: Sequence[Any]) -> list[Any]:
                at = builder.gep(f, [builder.mul(j, ir.Constant(I64, 4))])
                t = builder.fmul(load(builder, at, floats), inverse)
                t = builder.fptosi(builder.fsub(builder.fadd(t, magic), magic), sums)
                if in_planes:
                    packed = _planes(builder, t)
                else:
                    packed = builder.trunc(t, ir.VectorType(I16, width))
                store(builder, packed, builder.gep(p, [builder.mul(j, ir.Constant(I64, 2))]))
                return []

            loop(builder, args[3], width, [], body)
            return context.get_dummy_value()

        return types.void(f, inverse, p, count), codegen

    return quantize


def _planes(builder: Any, weights: Any) -> Any:
    """Emits bytes 0 of four weights, then bytes 1 of them, then the next four's."""
    width = weights.type.count
    as_bytes = builder.bitcast(weights, ir.VectorType(I8, 4 * width))
    order = [
        4 * (first + i) + byte for first in range(0, width, 4) for byte in (0, 1) for i in range(4)
    ]
    return builder.shuffle_vector(as_bytes, as_bytes, shuffle(order))


def _vectors(width: int) -> tuple[Any, Any]:
    return ir.VectorType(I32, width), ir.VectorType(ir.FloatType(), width)


def _gather(builder: Any, table: Any, index: Any) -> Any:
    """Emits `vpgatherdd`: entries of a table of 32-bit integers."""
    sums, width = index.type, index.type.count
    none, four = ir.Constant(sums, None), 4
    if width == 8:
        name, every, four = "avx2.gather.d.d.256", integers([-1] * 8), ir.Constant(I8, four)
    else:
        mask = ir.VectorType(ir.IntType(1), 16)
        name, every = "avx512.mask.gather.dpi.512", ir.Constant(mask, [1] * 16)
        four = ir.Constant(I32, four)
    kinds = [sums, I8.as_pointer(), sums, every.type, four.type]
    gather = declare(builder, f"llvm.x86.{name}", sums, kinds)
    return builder.call(gather, [none, table, index, every, four])


def _across(builder: Any, operation: str, vector: Any) -> Any:
    """Emits the sum or the largest of a register's integers."""
    name = f"llvm.vector.reduce.{operation}.v{vector.type.count}i32"
    return builder.call(declare(builder, name, I32, [vector.type]), [vector])
