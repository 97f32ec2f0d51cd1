"""A hint that memory will be needed soon; it changes no value."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


def emit_prefetch(builder: Any, address: Any) -> None:
    """Emits the request for the cache line that a pointer points into; it may point anywhere."""
    byte, i32 = ir.PointerType(ir.IntType(8)), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, all_caches, data = (ir.Constant(i32, k) for k in (0, 3, 1))
    builder.call(function, [builder.bitcast(address, byte), read, all_caches, data])


@intrinsic
def prefetch(_typing: Any, array: Any, index: Any) -> Any:
    """Asks for the cache line of a one-dimensional array's element."""

    def codegen(context, builder, signature, args):
        values = make_array(signature.args[0])(context, builder, args[0])
        emit_prefetch(builder, builder.gep(values.data, [args[1]]))
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen
