"""LLVM code that hand-written loops share: loads, stores, and sums across registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
SUMS, WORDS, BYTES = ir.VectorType(I32, 8), ir.VectorType(I16, 16), ir.VectorType(I8, 16)
"""AVX2's registers of sums and of 16-bit factors; bytes that are widened to these."""

_EVEN = (0, 2, 8, 10, 4, 6, 12, 14)
_ODD = tuple(i + 1 for i in _EVEN)
_LOW, _HIGH = (0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)


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


def add_across(builder: Any, sums: Sequence[Any]) -> Any:
    """Emits a vector with the sum of each of 1, 4 or 8 registers of 8 or 16 integers, in order.

    Eight together take a third of the instructions that they take one by one.
    """
    if len(sums) == 1:
        count = sums[0].type.count
        reduce = declare(builder, f"llvm.vector.reduce.add.v{count}i32", I32, [sums[0].type])
        none = ir.Constant(ir.VectorType(I32, 1), ir.Undefined)
        return builder.insert_element(none, builder.call(reduce, sums), ir.Constant(I32, 0))
    if sums[0].type.count == 16:
        sums = [_add_shuffled(builder, a, a, range(8), range(8, 16)) for a in sums]
    for _ in range(2):  # neighbors added, of two registers into one
        pairs = zip(sums[::2], sums[1::2], strict=True)
        sums = [_add_shuffled(builder, a, b, _EVEN, _ODD) for a, b in pairs]
    if len(sums) == 2:
        return _add_shuffled(builder, *sums, _LOW, _HIGH)
    return _add_shuffled(builder, *sums, *sums, _LOW[:4], _HIGH[:4])


def _add_shuffled(builder: Any, a: Any, b: Any, *masks: Sequence[int]) -> Any:
    first, second = (builder.shuffle_vector(a, b, shuffle(mask)) for mask in masks)
    return builder.add(first, second)


def shuffle(indices: Sequence[int]) -> Any:
    """Returns a mask for `shuffle_vector`."""
    return ir.Constant(ir.VectorType(I32, len(indices)), [ir.Constant(I32, i) for i in indices])
