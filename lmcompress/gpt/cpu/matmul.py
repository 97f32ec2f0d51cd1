"""Integer products of the CPU path, callable from other numba kernels.

PyTorch's int8 product is fast where oneDNN has instructions for it, and for hundreds of rows; it
repacks the weights at every call and goes through Python. Here each tile of a few rows and a few
weight rows stays in registers. Two instruction sets:

  AVX-512 VNNI: `vpdpbusd` multiplies unsigned by signed bytes, so activations are shifted by 128,
    and 128 times the sum of each weight row is taken off again.
  AVX2: `vpmaddwd` multiplies pairs of 16-bit integers: bytes are widened, activations once a
    product, weights as they are loaded.

Integer sums: the same bits either way.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

from lmcompress.gpt.cpu.kernels import LEVELS, PER_LEVEL, activate_quantize, add_norm_quantize
from lmcompress.jit.compiler import device_function, kernel
from lmcompress.jit.prefetch import CACHE_LINE, emit_prefetch
from lmcompress.jit.simd import (
    BYTES,
    I8,
    I32,
    I64,
    WORDS,
    add_across,
    declare,
    load,
    multiply_pairs,
    shuffle,
    store,
)

_BLOCK_BYTES = 1 << 14
"""Activations that all weights pass by before the next ones: half of a first-level cache."""
_FEW_BYTES = 1 << 16
"""Up to so many stay in a second-level cache: better than reading weights from memory twice."""


@dataclasses.dataclass(frozen=True)
class InstructionSet:
    """How a tile is computed."""

    features: tuple[str, ...]
    """What LLVM calls the processor's features it takes."""
    rows: int
    columns: int
    """A tile's activation rows and weight rows; their sums fill the registers."""
    few_rows: int
    """A smaller tile's activation rows, for what the larger leaves over."""
    row_columns: int
    """Weight rows of a tile of one activation row."""
    sums_per_register: int
    """Sums of 32 bits in a register."""
    step: int
    """Products that one step along the depth takes of each row."""
    q_is_int16: bool
    """Whether activations come as 16-bit integers, and not as bytes."""


VNNI = InstructionSet(("avx512f", "avx512vnni"), 4, 4, 2, 4, 16, 64, False)
AVX2 = InstructionSet(("avx2",), 6, 2, 4, 8, 8, 16, True)


def first_supported(*sets: InstructionSet) -> InstructionSet | None:
    """Returns the first instruction set that this processor has, if numba compiles for it."""
    if config.CPU_NAME or config.CPU_FEATURES:  # type: ignore[attr-defined]
        return None  # numba was told of another processor
    if not config.ENABLE_AVX:  # type: ignore[attr-defined]
        return None  # nor does numba trust what a few processors say of theirs
    features = llvm.get_host_cpu_features()
    return next((i for i in sets if all(map(features.get, i.features))), None)


_ISA = first_supported(VNNI, AVX2) or AVX2  # where neither is supported, nothing calls it
DEPTH_STEP, WIDTH_STEP = _ISA.step, _ISA.row_columns
_ROWS, _Q_IS_INT16 = _ISA.rows, _ISA.q_is_int16


def make_tile(rows: int, isa: InstructionSet) -> Any:
    """Returns an intrinsic: (rows x depth) times (depth x columns) -> sums, by their addresses.

    One row takes `isa.row_columns` columns, several `isa.columns`.
    """
    columns = isa.row_columns if rows == 1 else isa.columns

    @intrinsic
    def tile(_typing, q, w, out, depth, width):
        def codegen(context, builder, _signature, args):
            _emit_tile(builder, isa, rows, columns, args)
            return context.get_dummy_value()

        return types.void(q, w, out, depth, width), codegen

    return tile


def _emit_tile(builder: Any, isa: InstructionSet, rows: int, columns: int, args: Any) -> None:
    """Emits a loop over the depth with rows x columns accumulators, then their sums."""
    q, w, out = (builder.inttoptr(a, ir.PointerType(I8)) for a in args[:3])
    depth, width = args[3:]
    sums_type = ir.VectorType(I32, isa.sums_per_register)
    load_q, load_w, multiply = (_emit_vnni if isa is VNNI else _emit_avx2)(builder, sums_type)
    entry = builder.block
    loop, done = builder.append_basic_block("depth"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    k = builder.phi(I64)
    k.add_incoming(ir.Constant(I64, 0), entry)
    sums = [[builder.phi(sums_type) for _ in range(columns)] for _ in range(rows)]

    def address(base: Any, row: int, size: int) -> Any:
        offset = builder.add(builder.mul(ir.Constant(I64, row), depth), k)
        return builder.gep(base, [builder.mul(offset, ir.Constant(I64, size))])

    weights = [load_w(address(w, n, 1)) for n in range(columns)]
    _emit_prefetches(builder, w, builder.add(depth, k), columns, columns * isa.step)
    results = []
    for m in range(rows):
        activations = load_q(address(q, m, 2 if isa.q_is_int16 else 1))
        row = zip(sums[m], weights, strict=True)
        results += [multiply(total, activations, weight) for total, weight in row]
    following = builder.add(k, ir.Constant(I64, isa.step))
    k.add_incoming(following, loop)
    for total, result in zip(itertools.chain.from_iterable(sums), results, strict=True):
        total.add_incoming(ir.Constant(sums_type, None), entry)
        total.add_incoming(result, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, done)
    builder.position_at_end(done)
    _emit_sums(builder, results, columns, out, width)


def _emit_prefetches(builder: Any, w: Any, offset: Any, columns: int, num_bytes: int) -> None:
    """Emits requests for as much of the next tile's weight rows as a step takes of this one's.

    The processor's own prefetching follows one run of memory, not eight short ones side by side.
    """
    start = builder.mul(offset, ir.Constant(I64, columns))
    for line in range(0, num_bytes, CACHE_LINE):
        emit_prefetch(builder, builder.gep(w, [builder.add(start, ir.Constant(I64, line))]))


def _emit_sums(builder: Any, results: list[Any], columns: int, out: Any, width: Any) -> None:
    """Emits the sums of registers that stand for rows of so many columns, stored row by row."""
    together = 4 if columns == 4 else 8
    for start in range(0, len(results), together):
        found = add_across(builder, results[start : start + together])
        for i in range(found.type.count // columns):
            row = builder.mul(ir.Constant(I64, 4 * (start // columns + i)), width)
            part = shuffle(range(i * columns, (i + 1) * columns))
            store(builder, builder.shuffle_vector(found, found, part), builder.gep(out, [row]))


_Emitters = tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any, Any, Any], Any]]


def _emit_vnni(builder: Any, sums_type: Any) -> _Emitters:
    bytes_type = ir.VectorType(I8, VNNI.step)
    flip = ir.Constant(bytes_type, [ir.Constant(I8, -128)] * VNNI.step)
    name = "llvm.x86.avx512.vpdpbusd.512"
    multiply = declare(builder, name, sums_type, [sums_type] * 3)

    def load_w(pointer: Any) -> Any:
        return builder.bitcast(load(builder, pointer, bytes_type), sums_type)

    def load_q(pointer: Any) -> Any:
        shifted = builder.xor(load(builder, pointer, bytes_type), flip)
        return builder.bitcast(shifted, sums_type)

    return load_q, load_w, lambda total, q, w: builder.call(multiply, [total, q, w])


def _emit_avx2(builder: Any, sums_type: Any) -> _Emitters:
    def load_w(pointer: Any) -> Any:
        return builder.sext(load(builder, pointer, BYTES), WORDS)

    def load_q(pointer: Any) -> Any:
        return load(builder, pointer, WORDS)

    return load_q, load_w, lambda total, q, w: builder.add(total, multiply_pairs(builder, q, w))


def make_multiply(isa: InstructionSet) -> Callable[..., Any]:
    """Returns what kernels call to go over all tiles, by the addresses of q, w and out.

    Rows of q are 16-bit integers where `isa.q_is_int16`, else bytes; `count` rows of w give as many
    columns of out, whose rows are `width` long.
    """
    rows, few, columns, width_step = isa.rows, isa.few_rows, isa.columns, isa.row_columns
    item_bytes = 2 if isa.q_is_int16 else 1
    tile_of_rows, tile_of_few, tile_of_one = (make_tile(n, isa) for n in (rows, few, 1))

    @device_function
    def multiply(q_at, w_at, out_at, num_rows, depth, count, width):
        row_bytes = depth * item_bytes
        block = num_rows
        if num_rows * row_bytes > _FEW_BYTES:
            block = max(1, _BLOCK_BYTES // (row_bytes * rows)) * rows
        for start in range(0, num_rows, block):
            stop = min(start + block, num_rows)
            left = stop - start
            many = left // rows
            rest = left % rows
            # Small tiles take less time than a large one and rows alone.
            if many and rest < few and (rest + rows) % few < rest:
                many -= 1
            whole = start + many * rows
            most = whole + (stop - whole) // few * few
            for first in range(0, count, width_step):
                for n in range(first, first + width_step, columns):
                    for m in range(start, whole, rows):
                        out_row = out_at + 4 * (m * width + n)
                        tile_of_rows(q_at + m * row_bytes, w_at + n * depth, out_row, depth, width)
                    for m in range(whole, most, few):
                        out_row = out_at + 4 * (m * width + n)
                        tile_of_few(q_at + m * row_bytes, w_at + n * depth, out_row, depth, width)
                for m in range(most, stop):
                    out_row = out_at + 4 * (m * width + first)
                    tile_of_one(q_at + m * row_bytes, w_at + first * depth, out_row, depth, width)

    return multiply


_multiply = make_multiply(_ISA)
_GRID = (LEVELS, PER_LEVEL)


@kernel
def product(q, w, offset, out):
    """out = q @ w.T, int8 (M, K) and (N, K) to int32 (M, N); `offset` as `offsets(w)` gives it.

    K is a multiple of DEPTH_STEP and N of WIDTH_STEP.
    """
    num_rows, depth = q.shape
    width = w.shape[0]
    q_at, w_at, out_at = q.ctypes.data, w.ctypes.data, out.ctypes.data
    if _Q_IS_INT16:
        words = q.astype(np.int16)
        q_at = words.ctypes.data
    _multiply(q_at, w_at, out_at, num_rows, depth, width, width)
    if offset.shape[0]:
        for m in range(num_rows):
            for n in range(width):
                out[m, n] -= offset[n]
    if _Q_IS_INT16:
        words[0, 0] = 0  # only its address was used above: keeps it alive until here


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
    add_norm_quantize(x, sums, s, s_proj, b_proj, norm_2, gain_2, bias_2, eps, q_up, *_GRID)
    product(q_up, w_up, o_up, sums_up)
    activate_quantize(sums_up, s, s_up, b_up, activation, table, q_down, *_GRID)
    product(q_down, w_down, o_down, sums)
    add_norm_quantize(x, sums, s, s_down, b_down, norm_1, gain_1, bias_1, eps, q_up, *_GRID)
    product(q_up, w_next, o_next, sums_next)


def fits(depth: int, width: int) -> bool:
    """Whether a product of this shape can be computed here."""
    return depth % DEPTH_STEP == 0 and width % WIDTH_STEP == 0 and is_usable()


def beats_pytorch(num_rows: int) -> bool:
    """Whether these products are faster than PyTorch's for so many rows, as measured."""
    return _ISA is AVX2 or num_rows <= 32


def offsets(w: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """Returns what must be taken off each sum: 128 times the weight row's sum, or nothing."""
    if _Q_IS_INT16:
        return np.empty(0, np.int32)
    sums: npt.NDArray[np.int64] = 128 * w.astype(np.int64).sum(axis=1)
    return sums.astype(np.int32)


@functools.cache
def is_usable() -> bool:
    """Whether this processor has the instructions, numba may use them, and known answers come."""
    if first_supported(VNNI, AVX2) is None:
        return False
    rng = np.random.default_rng(1)
    for num_rows in (1, _ROWS, _ROWS + 3):
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
