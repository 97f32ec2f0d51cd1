"""Passes a state to compiled code as one array of addresses instead of five arrays.

A decoder calls nine times a step; unpacking arrays of records took longer than some of the calls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import from_dtype, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from lmcompress.adaptive.state import LANE, SHARED, State

_DTYPES: tuple[np.dtype[Any], ...] = (
    SHARED,
    LANE,
    np.dtype(np.uint32),
    np.dtype(np.int64),
    np.dtype(np.uint8),
)
_ARRAYS = tuple(types.Array(from_dtype(dtype), 1, "C") for dtype in _DTYPES)
_STATE = types.NamedTuple(_ARRAYS, State)


def addresses_of(state: State) -> npt.NDArray[np.int64]:
    """Returns each array's address and length, (10,); valid while the state is alive."""
    return np.array([(array.ctypes.data, len(array)) for array in state], np.int64).ravel()


@intrinsic
def state_at(_typing: Any, addresses: Any) -> Any:
    """Returns the state whose addresses these are."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        numbers = make_array(signature.args[0])(context, builder, args[0]).data

        def number(k: int) -> Any:
            return builder.load(builder.gep(numbers, [ir.Constant(ir.IntType(64), k)]))

        arrays = []
        for k, (kind, dtype) in enumerate(zip(_ARRAYS, _DTYPES, strict=True)):
            array = make_array(kind)(context, builder)
            populate_array(
                array,
                data=builder.inttoptr(number(2 * k), array.data.type),
                shape=[number(2 * k + 1)],
                strides=[ir.Constant(ir.IntType(64), dtype.itemsize)],
                itemsize=dtype.itemsize,
                meminfo=None,
            )
            arrays.append(array._getvalue())
        return context.make_tuple(builder, _STATE, arrays)

    return _STATE(addresses), codegen
