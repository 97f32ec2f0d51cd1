"""Tiles of integer products: a few rows of activations times 16 columns, summed in registers.

Weights lie in panels of 16 columns. In a panel, the weights of a few inputs (a group) to one column
stand side by side, then those to the next: what a register loads is what an instruction multiplies
with one group of activations, repeated for all columns. AMX's tiles are laid out in the same way.

Integer sums: the same bits whatever the instructions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

from lmcompress.jit.compiler import device_function
from lmcompress.jit.prefetch import emit_prefetch
from lmcompress.jit.simd import (
    BYTES,
    FEW_SUMS,
    I64,
    MORE_BYTES,
    SUMS,
    WIDE_SUMS,
    WORDS,
    add_byte_products,
    add_signed_byte_products,
    broadcast_load,
    integers,
    load,
    loop,
    multiply_byte_pairs,
    multiply_pairs,
    pointers,
    store,
    with_signs,
)

COLUMNS = 16
"""Columns of a panel."""
_BLOCK_BYTES = 1 << 17
"""Activations that a panel in the first-level cache meets before the next: they fit the second."""


@dataclasses.dataclass(frozen=True)
class Instructions:
    """How a tile is computed."""

    name: str
    features: tuple[str, ...]
    """What LLVM calls the processor's features it takes."""
    rows: tuple[int, int, int]
    """Rows of a large tile, of a small one, and 1."""
    group: int
    """Inputs of which one 32-bit sum is made at once."""
    item_bytes: int
    """Bytes of an activation as the instruction takes it."""
    digits: int = 1
    """Signed bytes that an activation is cut into, the lower one first: 256 * p + q."""
    flip: int = 0
    """The bits that are flipped in each weight."""


VNNI = Instructions(
    "AVX-512 VNNI", ("avx512f", "avx512vl", "avx512vnni"), (8, 4, 1), 4, 1, flip=-128
)
"""`vpdpbusd` multiplies unsigned by signed bytes: weights lie with 128 added, which takes 128 times
a row's sum off its products."""
VNNI_DIGITS = dataclasses.replace(VNNI, name="AVX-512 VNNI, 16 bits", digits=2)
AVX2 = Instructions("AVX2", ("avx2",), (4, 2, 1), 4, 1)
"""`vpmaddubsw` too, but cuts sums of two products off at 15 bits: it takes magnitudes, and the
activation's sign goes to the weight. No factor is beyond 127, so that the sums fit."""
AVX2_UNSIGNED = dataclasses.replace(AVX2, name="AVX2, unsigned")
"""The same for activations that are never negative."""
AVX2_WORDS = Instructions("AVX2, 16 bits", ("avx2",), (4, 2, 1), 2, 2)
"""`vpmaddwd` multiplies 16-bit integers: weights are widened as they are loaded."""
NEON = Instructions("NEON", ("dotprod",), (4, 2, 1), 4, 1)
"""`sdot` of 64-bit ARM multiplies signed bytes as they are."""
NEON_DIGITS = dataclasses.replace(NEON, name="NEON, 16 bits", digits=2)


def first_supported(*sets: Instructions) -> Instructions | None:
    """Returns the first instructions that this processor has, if numba compiles for it."""
    if config.CPU_NAME or config.CPU_FEATURES:  # type: ignore[attr-defined]
        return None  # numba was told of another processor
    if not config.ENABLE_AVX:  # type: ignore[attr-defined]
        return None  # nor does numba trust what a few processors say of theirs
    features = {**llvm.get_host_cpu_features(), "dotprod": _has_dotprod()}
    return next((i for i in sets if all(map(features.get, i.features))), None)


def _has_dotprod() -> bool:
    """Whether this is an ARM processor with `sdot`, and LLVM knows it by its name.

    LLVM lists no such feature: Linux does, and all of Apple's processors have it.
    """
    if platform.machine() not in ("aarch64", "arm64") or llvm.get_host_cpu_name() == "generic":
        return False
    if sys.platform == "darwin":
        return True
    with contextlib.suppress(OSError):
        return "asimddp" in Path("/proc/cpuinfo").read_text("utf-8").split()
    return False


def pack(w: npt.NDArray[np.int8], isa: Instructions) -> npt.NDArray[np.int8]:
    """Lays weights (N, K) out in panels: (N / COLUMNS, K / group, COLUMNS, group)."""
    (width, depth), group = w.shape, isa.group
    groups = np.ascontiguousarray(w).view(f"i{group}")  # copied faster than byte by byte
    panels = groups.reshape(width // COLUMNS, COLUMNS, depth // group).transpose(0, 2, 1)
    found = np.ascontiguousarray(panels)[..., None].view(np.int8)
    return found ^ np.int8(isa.flip) if isa.flip else found


def make_multiply(isa: Instructions) -> Callable[..., Any]:
    """Returns what kernels call to go over all tiles, by the addresses of q, p, w, starts and out.

    AVX2 takes the activations as p, and their signs from the bytes q; the others take them as q,
    and their upper digits as p. VNNI also starts each row's sums at a number. `count` columns of w,
    a multiple of COLUMNS, are multiplied; rows of out are `width` long.
    """
    item_bytes, group = isa.item_bytes, isa.group
    many, few, _ = isa.rows
    tile_of_many, tile_of_few, tile_of_one = (_make_tile(rows, isa) for rows in isa.rows)

    @device_function
    def multiply(q_at, p_at, w_at, starts_at, out_at, num_rows, depth, count, width):
        row_bytes, groups = depth * item_bytes, depth // group
        block = max(1, _BLOCK_BYTES // (row_bytes * many)) * many
        for start in range(0, num_rows, block):
            stop = min(start + block, num_rows)
            for column in range(0, count, COLUMNS):
                panel, m = w_at + column * depth, start
                while m < stop:
                    q, p, first = q_at + m * row_bytes, p_at + m * row_bytes, starts_at + 4 * m
                    out = out_at + 4 * (m * width + column)
                    if m + many <= stop:
                        tile_of_many(q, p, panel, first, out, groups, row_bytes, width)
                        m += many
                    elif m + few <= stop:
                        tile_of_few(q, p, panel, first, out, groups, row_bytes, width)
                        m += few
                    else:
                        tile_of_one(q, p, panel, first, out, groups, row_bytes, width)
                        m += 1

    return multiply


def _make_tile(rows: int, isa: Instructions) -> Any:
    """Returns an intrinsic: (rows x depth) times a panel -> sums, all by their addresses."""

    @intrinsic
    def tile(_typing, q, p, w, starts, out, groups, row_bytes, width):
        def codegen(context, builder, _signature, args):
            _emit_tile(builder, isa, rows, args)
            return context.get_dummy_value()

        return types.void(q, p, w, starts, out, groups, row_bytes, width), codegen

    return tile


def _emit_tile(builder: Any, isa: Instructions, rows: int, args: Sequence[Any]) -> None:
    """Emits a loop over groups of inputs, with a register or two of sums for each row."""
    q, p, w, starts, out = pointers(builder, args[:5])
    groups, row_bytes, width = args[5:]
    registers, sums_type, start, load_weights, multiply, finish = _emitters(builder, isa)
    offsets = [builder.mul(ir.Constant(I64, m), row_bytes) for m in range(rows)]
    q_rows, p_rows = ([builder.gep(base, [o]) for o in offsets] for base in (q, p))

    step_bytes = COLUMNS * isa.group
    following = builder.gep(w, [builder.mul(groups, _i64(step_bytes))])

    def body(k: Any, sums: Sequence[Any]) -> list[Any]:
        offset = builder.mul(k, _i64(step_bytes))
        emit_prefetch(builder, builder.gep(following, [offset]))
        weights = load_weights(builder.gep(w, [offset]))
        at = builder.mul(k, _i64(isa.group * isa.item_bytes))
        results = []
        for m in range(rows):
            factors = [builder.gep(row[m], [at]) for row in (q_rows, p_rows)]
            before = sums[m * registers : (m + 1) * registers]
            results += multiply(before, factors, weights)
        return results

    first = [total for m in range(rows) for total in start(builder.gep(starts, [_i64(4 * m)]))]
    sums = loop(builder, groups, 1, first, body)
    for m in range(rows):
        offset = builder.mul(_i64(4 * m), width)
        for total in finish(sums[m * registers : (m + 1) * registers]):
            store(builder, total, builder.gep(out, [offset]))
            offset = builder.add(offset, _i64(4 * sums_type.count))


def _i64(value: int) -> Any:
    return ir.Constant(I64, value)


class _Emitters(NamedTuple):
    """How a row of a tile is computed."""

    registers: int
    sums_type: Any
    start: Callable[[Any], list[Any]]
    """Emits what the row's registers hold before the first product."""
    load_weights: Callable[[Any], list[Any]]
    """Emits the loads of a group's weights."""
    multiply_add: Callable[[Sequence[Any], list[Any], list[Any]], list[Any]]
    """Emits products, added to the row's registers."""
    finish: Callable[[Sequence[Any]], list[Any]]
    """Emits the sums from the registers."""


def _emitters(builder: Any, isa: Instructions) -> _Emitters:
    if isa in (VNNI, VNNI_DIGITS):
        return _vnni_emitters(builder, isa.digits)
    if isa in (NEON, NEON_DIGITS):
        return _neon_emitters(builder, isa.digits)
    return _avx2_emitters(builder, isa)


def _vnni_emitters(builder: Any, digits: int) -> _Emitters:
    def start(at: Any) -> list[Any]:
        none = ir.Constant(WIDE_SUMS, None)
        return [broadcast_load(builder, at, WIDE_SUMS), none][:digits]

    def load_weights(at: Any) -> list[Any]:
        return [load(builder, at, WIDE_SUMS)]

    def multiply_add(totals: Sequence[Any], factors: list[Any], weights: list[Any]) -> list[Any]:
        return [
            add_byte_products(builder, total, weights[0], broadcast_load(builder, digit, WIDE_SUMS))
            for total, digit in zip(totals, factors, strict=False)
        ]

    def finish(sums: Sequence[Any]) -> list[Any]:
        bits = integers([8] * WIDE_SUMS.count)
        return [sums[0] if digits == 1 else builder.add(sums[0], builder.shl(sums[1], bits))]

    return _Emitters(digits, WIDE_SUMS, start, load_weights, multiply_add, finish)


def _avx2_emitters(builder: Any, isa: Instructions) -> _Emitters:
    ones = ir.Constant(WORDS, [ir.Constant(ir.IntType(16), 1)] * 16)
    is_words, is_signed = isa is AVX2_WORDS, isa is AVX2
    size = BYTES if is_words else MORE_BYTES

    def start(_at: Any) -> list[Any]:
        return [ir.Constant(SUMS, None)] * 2

    def load_weights(at: Any) -> list[Any]:
        halves = [load(builder, at, size, i * size.count) for i in range(2)]
        return [builder.sext(half, WORDS) for half in halves] if is_words else halves

    def multiply_add(totals: Sequence[Any], factors: list[Any], weights: list[Any]) -> list[Any]:
        p = broadcast_load(builder, factors[1], WORDS if is_words else MORE_BYTES)
        if is_signed:
            q = broadcast_load(builder, factors[0], MORE_BYTES)
            weights = [with_signs(builder, w, q) for w in weights]
        if not is_words:
            pairs = [multiply_byte_pairs(builder, p, w) for w in weights]
            terms = [multiply_pairs(builder, pair, ones) for pair in pairs]
        else:
            terms = [multiply_pairs(builder, p, w) for w in weights]
        return [builder.add(total, term) for total, term in zip(totals, terms, strict=True)]

    return _Emitters(2, SUMS, start, load_weights, multiply_add, list)


def _neon_emitters(builder: Any, digits: int) -> _Emitters:
    quarters = range(COLUMNS // FEW_SUMS.count)

    def start(_at: Any) -> list[Any]:
        return [ir.Constant(FEW_SUMS, None)] * len(quarters) * digits

    def load_weights(at: Any) -> list[Any]:
        return [load(builder, at, BYTES, i * BYTES.count) for i in quarters]

    def multiply_add(totals: Sequence[Any], factors: list[Any], weights: list[Any]) -> list[Any]:
        inputs = [broadcast_load(builder, digit, BYTES) for digit in factors[:digits]]
        pairs = [(q, w) for q in inputs for w in weights]
        return [
            add_signed_byte_products(builder, total, w, q)
            for total, (q, w) in zip(totals, pairs, strict=True)
        ]

    def finish(sums: Sequence[Any]) -> list[Any]:
        lower, upper, bits = sums[: len(quarters)], sums[len(quarters) :], integers([8] * 4)
        if not upper:
            return list(lower)
        pairs = zip(lower, upper, strict=True)
        return [builder.add(low, builder.shl(high, bits)) for low, high in pairs]

    return _Emitters(digits * len(quarters), FEW_SUMS, start, load_weights, multiply_add, finish)
