"""A mixer's two loops as vector code, which LLVM does not vectorise on its own.

Everything is a 32-bit integer, and sums are modulo 2**32, so that their order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from lmcompress.adaptive.state import MIXER_ROW

WIDTH = 8
"""Integers that a register of AVX2 holds."""
WEIGHT_SHIFT = 4
"""Bits of a weight that only learning sees."""
CHANGE_SHIFT = 17
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_I32, WIDTH)


def _constant(value: int) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(_I32, value)] * WIDTH)


def _pieces(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> list[Any]:
    """Returns pointers to the vectors of a row that begins at an element of an array."""
    data = make_array(array_type)(context, builder, array).data
    first = builder.bitcast(builder.gep(data, [start]), ir.PointerType(_VECTOR))
    return [builder.gep(first, [ir.Constant(_I64, k)]) for k in range(MIXER_ROW // WIDTH)]


def _load(builder: Any, pointer: Any) -> Any:
    return builder.load(pointer, align=4)


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
    """Returns the sum of inputs * (weight >> WEIGHT_SHIFT), for a row that begins at an index."""

    def emit(builder: Any, rows: list[Any], columns: list[Any], _rest: Any) -> Any:
        total = _constant(0)
        for row, column in zip(rows, columns, strict=True):
            weight = builder.ashr(_load(builder, row), _constant(WEIGHT_SHIFT))
            total = builder.add(total, builder.mul(weight, _load(builder, column)))
        kind = ir.FunctionType(_I32, [_VECTOR])
        name = f"llvm.vector.reduce.add.v{WIDTH}i32"
        reduce = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.sext(builder.call(reduce, [total]), _I64)

    return types.int64(weights, types.int64, inputs), _on_rows(emit, types.int64)


@intrinsic
def add_scaled(_typing: Any, weights: Any, at: Any, inputs: Any, factor: Any) -> Any:
    """Adds round(inputs * factor / 2**CHANGE_SHIFT) to the row of weights at an index."""

    def emit(builder: Any, rows: list[Any], columns: list[Any], rest: Any) -> Any:
        factor, half = _splat(builder, rest[0]), _constant(1 << (CHANGE_SHIFT - 1))
        for row, column in zip(rows, columns, strict=True):
            product = builder.mul(_load(builder, column), factor)
            change = builder.ashr(builder.add(product, half), _constant(CHANGE_SHIFT))
            builder.store(builder.add(_load(builder, row), change), row, align=4)

    signature = types.void(weights, types.int64, inputs, types.int32)
    return signature, _on_rows(emit, types.void)


def _splat(builder: Any, value: Any) -> Any:
    """Returns a vector of one value."""
    zero = ir.Constant(_VECTOR, None)
    first = builder.insert_element(zero, value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, zero, ir.Constant(_VECTOR, [ir.Constant(_I32, 0)] * WIDTH))
