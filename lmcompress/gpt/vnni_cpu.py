"""Integer products for few rows, by AVX-512 VNNI, callable from other numba kernels.

PyTorch's int8 product is fastest for hundreds of rows, but it repacks the weights at every call and
goes through Python. A decoder has a few dozen rows a step: here each tile of 4 rows and 4 weight
rows stays in registers. `vpdpbusd` multiplies unsigned by signed bytes, so activations are shifted
by 128, and 128 times the sum of each weight row is taken off again. Integer sums: the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

from lmcompress.compiled import kernel
from lmcompress.gpt.kernels_cpu import LEVELS, PER_LEVEL, activate_quantize, add_norm_quantize

TILE = 4
DEPTH_STEP = 64
"""Bytes of one vector register: rows must be a multiple of it long."""
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES, _SUMS = ir.VectorType(_I8, DEPTH_STEP), ir.VectorType(_I32, DEPTH_STEP // 4)


def _make_tile(rows: int) -> Any:
    """Returns an intrinsic: (rows x depth) times (depth x TILE) -> sums, by their addresses."""

    @intrinsic
    def tile(_typing, q, w, out, depth, width):
        def codegen(context, builder, _signature, args):
            _emit_tile(builder, rows, args)
            return context.get_dummy_value()

        return types.void(q, w, out, depth, width), codegen

    return tile


def _emit_tile(builder: Any, rows: int, args: Any) -> None:
    """Emits a loop over the depth with rows x TILE accumulators, then their sums."""
    q, w, out = (builder.inttoptr(a, ir.PointerType(_I8)) for a in args[:3])
    depth, width = args[3:]
    multiply = _declare(builder, "llvm.x86.avx512.vpdpbusd.512", _SUMS, [_SUMS] * 3)
    reduce = _declare(builder, "llvm.vector.reduce.add.v16i32", _I32, [_SUMS])
    flip = ir.Constant(_BYTES, [ir.Constant(_I8, -128)] * DEPTH_STEP)
    entry = builder.block
    loop, done = builder.append_basic_block("depth"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(_I64)
    k.add_incoming(ir.Constant(_I64, 0), entry)
    tiles = [(m, n) for m in range(rows) for n in range(TILE)]
    sums = {tile: builder.phi(_SUMS) for tile in tiles}

    def load(base: Any, row: int) -> Any:
        offset = builder.add(builder.mul(ir.Constant(_I64, row), depth), k)
        pointer = builder.bitcast(builder.gep(base, [offset]), ir.PointerType(_BYTES))
        return builder.load(pointer, align=1)

    weights = [builder.bitcast(load(w, n), _SUMS) for n in range(TILE)]
    shifted = [builder.bitcast(builder.xor(load(q, m), flip), _SUMS) for m in range(rows)]
    results = {
        (m, n): builder.call(multiply, [sums[m, n], shifted[m], weights[n]]) for m, n in tiles
    }
    following = builder.add(k, ir.Constant(_I64, DEPTH_STEP))
    k.add_incoming(following, loop)
    for tile in tiles:
        sums[tile].add_incoming(ir.Constant(_SUMS, None), entry)
        sums[tile].add_incoming(results[tile], loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
    builder.position_at_end(done)
    out = builder.bitcast(out, ir.PointerType(_I32))
    for m, n in tiles:
        offset = builder.add(builder.mul(ir.Constant(_I64, m), width), ir.Constant(_I64, n))
        builder.store(builder.call(reduce, [results[m, n]]), builder.gep(out, [offset]))


def _declare(builder: Any, name: str, returned: Any, arguments: list[Any]) -> Any:
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(returned, arguments), name)


_tile_of_rows = _make_tile(TILE)
_tile_of_one = _make_tile(1)
_GRID = (LEVELS, PER_LEVEL)


@kernel
def product(q, w, offset, out):
    """out = q @ w.T; int8 (M, K) and (N, K), K a multiple of 64 and N of 4; offset = 128 sum(w)."""
    num_rows, depth = q.shape
    width = w.shape[0]
    whole = num_rows // TILE * TILE
    q_at, w_at, out_at = q.ctypes.data, w.ctypes.data, out.ctypes.data
    for n in range(0, width, TILE):
        for m in range(0, whole, TILE):
            _tile_of_rows(
                q_at + m * depth, w_at + n * depth, out_at + 4 * (m * width + n), depth, width
            )
        for m in range(whole, num_rows):
            _tile_of_one(
                q_at + m * depth, w_at + n * depth, out_at + 4 * (m * width + n), depth, width
            )
    for m in range(num_rows):
        for n in range(width):
            out[m, n] -= offset[n]


@kernel
def attention_to_next(
    x, s, eps, activation, table,
    q_proj, w_proj, o_proj, s_proj, b_proj, sums,
    norm_2, gain_2, bias_2, q_up, w_up, o_up, s_up, b_up, sums_up,
    q_down, w_down, o_down, s_down, b_down,
    norm_1, gain_1, bias_1, w_next, o_next, sums_next,
):  # fmt: skip
    """From one layer's attention to the sums that the next layer's attention (or output) reads.

    One call instead of seven: threads of lanes meet at Python's lock less often.
    """
    product(q_proj, w_proj, o_proj, sums)
    add_norm_quantize(
        x, sums, s, s_proj, b_proj, norm_2, gain_2, bias_2, eps, q_up, LEVELS, PER_LEVEL
    )
    product(q_up, w_up, o_up, sums_up)
    activate_quantize(sums_up, s, s_up, b_up, activation, table, q_down, *_GRID)
    product(q_down, w_down, o_down, sums)
    add_norm_quantize(
        x, sums, s, s_down, b_down, norm_1, gain_1, bias_1, eps, q_up, LEVELS, PER_LEVEL
    )
    product(q_up, w_next, o_next, sums_next)


def fits(depth: int, width: int) -> bool:
    """Whether a product of this shape can be computed here."""
    return depth % DEPTH_STEP == 0 and width % TILE == 0 and is_usable()


def offsets(w: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """Returns what the shift of the activations adds to each sum: 128 times the row's sum."""
    sums: npt.NDArray[np.int64] = 128 * w.astype(np.int64).sum(axis=1)
    return sums.astype(np.int32)


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instruction, numba may use it, and known answers come out."""
    told = [getattr(config, name) for name in ("CPU_NAME", "CPU_FEATURES")]
    if any(told):  # numba was told of another processor
        return False
    features = llvm.get_host_cpu_features()
    if not (features.get("avx512f") and features.get("avx512vnni")):
        return False
    rng = np.random.default_rng(1)
    for num_rows in (1, TILE, 7):
        for low, high in ((-127, 128), (127, 128), (-127, -126)):
            q = rng.integers(low, high, (num_rows, 256)).astype(np.int8)
            w = rng.integers(-127, 128, (8, 256)).astype(np.int8)
            w[0], w[1] = 127, -127
            out = np.empty((num_rows, 8), np.int32)
            try:
                product(q, w, offsets(w), out)
            except Exception:  # another LLVM may know the instruction by another name
                return False
            if not np.array_equal(out, q.astype(np.int64) @ w.T.astype(np.int64)):
                return False
    return True
