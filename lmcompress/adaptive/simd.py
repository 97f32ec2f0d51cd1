"""A mixer's two loops as vector code, which LLVM does not vectorise on its own.

Weights and inputs are 32-bit integers, products and sums 64-bit: exact, so that the order of a sum
does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from lmcompress.adaptive.state import MIXER_ROW

WIDTH = 4
"""Products of 64 bits that a register of AVX2 holds."""
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_NARROW, _WIDE = ir.VectorType(_I32, WIDTH), ir.VectorType(_I64, WIDTH)


def _constant(value: int) -> ir.Constant:
    return ir.Constant(_WIDE, [ir.Constant(_I64, value)] * WIDTH)


def _pieces(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> list[Any]:
    """Returns pointers to the vectors of a row that begins at an element of an array."""
    data = make_array(array_type)(context, builder, array).data
    first = builder.bitcast(builder.gep(data, [start]), ir.PointerType(_NARROW))
    return [builder.gep(first, [ir.Constant(_I64, k)]) for k in range(MIXER_ROW // WIDTH)]


def _load(builder: Any, pointer: Any) -> Any:
    """Returns a vector of 32-bit integers, widened."""
    return builder.sext(builder.load(pointer, align=4), _WIDE)


def _on_rows(emit: Callable[[Any, list[Any], list[Any], Any], Any], result: Any) -> Any:
    """Returns the code of an intrinsic (weights, at, inputs, ...) that emit gives vectors to."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        weights = _pieces(context, builder, signature.args[0], args[0], args[1])
        inputs = _pieces(context, builder, signature.args[2], args[2], ir.Constant(_I64, 0))
        found = emit(builder, weights, inputs, args[3:])
        return context.get_dummy_value() if result is types.void else found

    return codegen


@intrinsic
def dot(_typing: Any, weights: Any, at: Any, inputs: Any) -> Any:
    """Returns the sum of products of inputs and the row of weights that begins at an index."""

    def emit(builder: Any, rows: list[Any], columns: list[Any], _rest: Any) -> Any:
        total = _constant(0)
        for row, column in zip(rows, columns, strict=True):
            product = builder.mul(_load(builder, row), _load(builder, column))
            total = builder.add(total, product)
        kind = ir.FunctionType(_I64, [_WIDE])
        name = f"llvm.vector.reduce.add.v{WIDTH}i64"
        reduce = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(reduce, [total])

    return types.int64(weights, types.int64, inputs), _on_rows(emit, types.int64)


@intrinsic
def add_scaled(_typing: Any, weights: Any, at: Any, inputs: Any, factor: Any, shift: Any) -> Any:
    """Adds round(inputs * factor / 2**shift), factor of 32 bits, to the row of weights."""

    def emit(builder: Any, rows: list[Any], columns: list[Any], rest: Any) -> Any:
        factor, shift = (_splat(builder, value) for value in rest)
        half = builder.shl(_constant(1), builder.sub(shift, _constant(1)))
        for row, column in zip(rows, columns, strict=True):
            product = builder.mul(_load(builder, column), factor)
            change = builder.ashr(builder.add(product, half), shift)
            changed = builder.add(builder.load(row, align=4), builder.trunc(change, _NARROW))
            builder.store(changed, row, align=4)

    signature = types.void(weights, types.int64, inputs, types.int32, types.int64)
    return signature, _on_rows(emit, types.void)


def _splat(builder: Any, value: Any) -> Any:
    """Returns a vector of one value, widened."""
    zero = ir.Constant(ir.VectorType(value.type, WIDTH), None)
    first = builder.insert_element(zero, value, ir.Constant(_I32, 0))
    mask = ir.Constant(ir.VectorType(_I32, WIDTH), [ir.Constant(_I32, 0)] * WIDTH)
    vector = builder.shuffle_vector(first, zero, mask)
    return vector if value.type == _I64 else builder.sext(vector, _WIDE)
