"""The AVX-512 VNNI products on a processor without them.

As a program: `emulate` computes products with `vpdpbusd` spelled out in plain LLVM, so that all
around it runs anywhere; `compile` prints how often the instruction stands in the machine code.
"""

from __future__ import annotations

import sys
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import config

INSTRUCTION = "vpdpbusd"


def pretend() -> Any:
    """Imports the products as a VNNI processor would; returns the module."""
    numba.njit(lambda x: x)(1)  # the target is settled now, whatever the settings say from here on
    config.CPU_NAME = config.CPU_FEATURES = None  # type: ignore[attr-defined]
    here = dict(llvm.get_host_cpu_features())
    llvm.get_host_cpu_features = lambda: {**here, "avx512f": True, "avx512vnni": True}
    from lmcompress.gpt.cpu import matmul

    assert matmul._ISA is matmul.VNNI
    return matmul


def spell_out() -> None:
    """Puts multiplications of single bytes in the instruction's place."""
    from lmcompress.gpt.cpu import tiles

    declare = tiles.declare
    narrow, wide = (ir.VectorType(ir.IntType(bits), 64) for bits in (8, 32))

    def declare_others(builder: Any, name: str, *signature: Any) -> Any:
        return name if INSTRUCTION in name else declare(builder, name, *signature)

    def multiply(builder: Any, total: Any, p: Any, w: Any) -> Any:
        p = builder.zext(builder.bitcast(p, narrow), wide)
        w = builder.sext(builder.bitcast(w, narrow), wide)
        terms = builder.mul(p, w)
        for j in range(4):
            every_fourth = [ir.Constant(ir.IntType(32), 4 * i + j) for i in range(16)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), 16), every_fourth)
            none = ir.Constant(wide, ir.Undefined)
            total = builder.add(total, builder.shuffle_vector(terms, none, mask))
        return total

    call = ir.IRBuilder.call

    def call_others(builder: Any, function: Any, args: Any, *more: Any, **named: Any) -> Any:
        if isinstance(function, str):
            return multiply(builder, *args)
        return call(builder, function, args, *more, **named)

    tiles.declare, ir.IRBuilder.call = declare_others, call_others


def check(matmul: Any) -> None:
    assert matmul.is_usable()
    rng = np.random.default_rng(0)
    for num_rows in (1, 4, 5, 31, 100):
        q = rng.integers(-127, 128, (num_rows, 256)).astype(np.int8)
        w = rng.integers(-127, 128, (48, 256)).astype(np.int8)
        q[0], w[0], w[1] = 127, 127, -127
        out = np.empty((num_rows, 48), np.int32)
        matmul.product(q, matmul.pack(w), matmul.offsets(w), False, out)
        assert np.array_equal(out, q.astype(np.int64) @ w.T.astype(np.int64)), num_rows


def count(matmul: Any) -> int:
    bytes_, sums = types.Array(types.int8, 2, "C"), types.Array(types.int32, 2, "C")
    panels, offset = types.Array(types.int8, 4, "C"), types.Array(types.int32, 1, "C")
    matmul.product.compile((bytes_, panels, offset, types.boolean, sums))
    return sum(code.count(INSTRUCTION) for code in matmul.product.inspect_asm().values())


if __name__ == "__main__":
    module = pretend()
    if sys.argv[1] == "compile":
        print(count(module))
    else:
        spell_out()
        check(module)
