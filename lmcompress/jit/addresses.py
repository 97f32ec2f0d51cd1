"""Arrays at addresses, for kernels that are told where something lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic

from lmcompress.jit.compiler import device_function


@intrinsic
def _pointer(_typing: Any, address: Any) -> Any:
    def codegen(_context, builder, _signature, args):
        return builder.inttoptr(args[0], ir.PointerType(ir.IntType(8)))

    return types.voidptr(address), codegen


@device_function
def int64_array(address, count):
    """The int64 array (count,) at an address; whoever calls keeps it alive."""
    return carray(_pointer(address), (count,), np.int64)


@device_function
def float32_array(address, count):
    """The float32 array (count,) at an address; whoever calls keeps it alive."""
    return carray(_pointer(address), (count,), np.float32)
