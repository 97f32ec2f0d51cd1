"""The AVX-512 VNNI kernels on a processor without them.

As a program: `emulate` computes with `vpdpbusd` and AVX-512's gather spelled out in plain LLVM, so
that all around them runs anywhere; `compile` prints how often `vpdpbusd` stands in machine code.
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
GATHER = "avx512.mask.gather"


def pretend() -> Any:
    """Imports the products as a VNNI processor would; returns the module."""
    numba.njit(lambda x: x)(1)  # the target is settled now, whatever the settings say from here on
    config.CPU_NAME = config.CPU_FEATURES = None  # type: ignore[attr-defined]
    here = dict(llvm.get_host_cpu_features())
    vnni = dict.fromkeys(("avx512f", "avx512vl", "avx512vnni"), True)
    llvm.get_host_cpu_features = lambda: here | vnni
    from lmcompress.gpt.cpu import matmul

    assert matmul._ISA is matmul.VNNI
    return matmul


def spell_out() -> None:
    """Puts multiplications of single bytes, and single loads, in the instructions' place."""
    from lmcompress.gpt.cpu import attention_weights
    from lmcompress.jit import simd

    declare = simd.declare

    def declare_others(builder: Any, name: str, *signature: Any) -> Any:
        is_spelled_out = INSTRUCTION in name or GATHER in name
        return name if is_spelled_out else declare(builder, name, *signature)

    def multiply(builder: Any, total: Any, p: Any, w: Any) -> Any:
        narrow, wide = (ir.VectorType(ir.IntType(bits), 4 * total.type.count) for bits in (8, 32))
        p = builder.zext(builder.bitcast(p, narrow), wide)
        w = builder.sext(builder.bitcast(w, narrow), wide)
        terms = builder.mul(p, w)
        for j in range(4):
            mask = simd.shuffle([4 * i + j for i in range(total.type.count)])
            none = ir.Constant(wide, ir.Undefined)
            total = builder.add(total, builder.shuffle_vector(terms, none, mask))
        return total

    def gather(builder: Any, found: Any, table: Any, index: Any, _mask: Any, _scale: Any) -> Any:
        table = builder.bitcast(table, simd.I32.as_pointer())
        for i in range(index.type.count):
            at = builder.extract_element(index, ir.Constant(simd.I32, i))
            entry = builder.load(builder.gep(table, [at]))
            found = builder.insert_element(found, entry, ir.Constant(simd.I32, i))
        return found

    call = ir.IRBuilder.call

    def call_others(builder: Any, function: Any, args: Any, *more: Any, **named: Any) -> Any:
        if isinstance(function, str):
            return (multiply if INSTRUCTION in function else gather)(builder, *args)
        return call(builder, function, args, *more, **named)

    simd.declare = attention_weights.declare = declare_others
    ir.IRBuilder.call = call_others


def check(matmul: Any) -> None:
    from lmcompress.gpt.cpu import attention_simd, matmul_int16, rings

    assert rings.HAS_VNNI
    assert matmul.is_usable()
    assert matmul_int16.is_usable()
    assert attention_simd.is_usable()
    rng = np.random.default_rng(0)
    for num_rows in (1, 4, 5, 31, 100):
        q = rng.integers(-127, 128, (num_rows, 256)).astype(np.int8)
        w = rng.integers(-127, 128, (48, 256)).astype(np.int8)
        q[0], w[0], w[1] = 127, 127, -127
        out = np.empty((num_rows, 48), np.int32)
        matmul.product(q, matmul.pack(w), False, out)
        assert np.array_equal(out, q.astype(np.int64) @ w.T.astype(np.int64)), num_rows


def count(matmul: Any) -> int:
    bytes_, sums = types.Array(types.int8, 2, "C"), types.Array(types.int32, 2, "C")
    panels = types.Array(types.int8, 4, "C")
    matmul.product.compile((bytes_, panels, types.boolean, sums))
    return sum(code.count(INSTRUCTION) for code in matmul.product.inspect_asm().values())


if __name__ == "__main__":
    module = pretend()
    if sys.argv[1] == "compile":
        print(count(module))
    else:
        spell_out()
        check(module)
