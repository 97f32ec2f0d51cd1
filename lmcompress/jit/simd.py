"""LLVM code that hand-written loops share: loads, stores, products, constants, the loop itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
SUMS, WORDS, BYTES = ir.VectorType(I32, 8), ir.VectorType(I16, 16), ir.VectorType(I8, 16)
"""AVX2's registers of sums and of 16-bit factors; bytes that are widened to these."""
MORE_BYTES = ir.VectorType(I8, 32)
"""AVX2's registers of bytes."""
WIDE_SUMS = ir.VectorType(I32, 16)
"""AVX-512's registers of sums."""
FEW_SUMS = ir.VectorType(I32, 4)
"""NEON's register of sums; one of its bytes is a `BYTES`."""


def declare(builder: Any, name: str, returned: Any, arguments: list[Any]) -> Any:
    """Returns an instruction's function, by what LLVM calls it."""
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(returned, arguments), name)


def load(builder: Any, pointer: Any, vector: Any, offset: int = 0) -> Any:
    """Emits a load of a vector at an offset in bytes from a pointer to bytes."""
    at = builder.gep(pointer, [ir.Constant(I64, offset)]) if offset else pointer
    return builder.load(builder.bitcast(at, ir.PointerType(vector)), align=1)


def store(builder: Any, vector: Any, pointer: Any) -> None:
    """Emits a store at a pointer of any type, where 32-bit integers lie."""
    builder.store(vector, builder.bitcast(pointer, ir.PointerType(vector.type)), align=4)


def multiply_pairs(builder: Any, a: Any, b: Any) -> Any:
    """Emits `vpmaddwd`: 16 products of 16-bit integers, added in pairs."""
    multiply = declare(builder, "llvm.x86.avx2.pmadd.wd", SUMS, [WORDS] * 2)
    return builder.call(multiply, [a, b])


def multiply_byte_pairs(builder: Any, a: Any, b: Any) -> Any:
    """Emits `vpmaddubsw`: 32 products of bytes, a's without a sign, added in pairs to 16 bits.

    The sums must be below 2**15, or they are cut off there.
    """
    multiply = declare(builder, "llvm.x86.avx2.pmadd.ub.sw", WORDS, [MORE_BYTES] * 2)
    return builder.call(multiply, [a, b])


def with_signs(builder: Any, values: Any, signs: Any) -> Any:
    """Emits `vpsignb`: each of 32 bytes times the sign of another, which may be 0."""
    sign = declare(builder, "llvm.x86.avx2.psign.b", MORE_BYTES, [MORE_BYTES] * 2)
    return builder.call(sign, [values, signs])


def add_byte_products(builder: Any, totals: Any, a: Any, b: Any) -> Any:
    """Emits `vpdpbusd`: products of bytes, a's without a sign, four of which go to each sum.

    All three are registers of 32-bit integers, 8 or 16.
    """
    name = f"llvm.x86.avx512.vpdpbusd.{32 * totals.type.count}"
    return builder.call(declare(builder, name, totals.type, [totals.type] * 3), [totals, a, b])


def add_signed_byte_products(builder: Any, totals: Any, a: Any, b: Any) -> Any:
    """Emits `sdot`: products of 16 signed bytes, four of which go to each of 4 sums."""
    name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
    return builder.call(declare(builder, name, FEW_SUMS, [FEW_SUMS, BYTES, BYTES]), [totals, a, b])


def pointers(builder: Any, addresses: Sequence[Any]) -> list[Any]:
    """Emits pointers to bytes at addresses."""
    return [builder.inttoptr(address, ir.PointerType(I8)) for address in addresses]


def broadcast_load(builder: Any, pointer: Any, vector: Any, offset: int = 0) -> Any:
    """Emits a register full of the 4 bytes at an offset from a pointer to bytes."""
    at = builder.gep(pointer, [ir.Constant(I64, offset)]) if offset else pointer
    found = builder.load(builder.bitcast(at, ir.PointerType(I32)), align=1)
    return broadcast(builder, found, vector)


def broadcast(builder: Any, value: Any, vector: Any) -> Any:
    """Emits a register full of one value of 32 bits."""
    bits = vector.count * (32 if isinstance(vector.element, ir.FloatType) else vector.element.width)
    count = bits // 32
    full = ir.VectorType(value.type, count)
    first = builder.insert_element(ir.Constant(full, ir.Undefined), value, ir.Constant(I32, 0))
    return builder.bitcast(builder.shuffle_vector(first, first, shuffle([0] * count)), vector)


def integers(values: Sequence[int]) -> Any:
    """Returns a register of constant 32-bit integers."""
    constants = [ir.Constant(I32, int(value)) for value in values]
    return ir.Constant(ir.VectorType(I32, len(constants)), constants)


def reals(value: Any, count: int) -> Any:
    """Returns a register full of one float32 constant."""
    full = ir.VectorType(ir.FloatType(), count)
    return ir.Constant(full, [ir.Constant(ir.FloatType(), float(value))] * count)


def loop(
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


def shuffle(indices: Sequence[int]) -> Any:
    """Returns a mask for `shuffle_vector`."""
    return ir.Constant(ir.VectorType(I32, len(indices)), [ir.Constant(I32, i) for i in indices])
