"""Exact int8 products on a GPU, each checked against known answers for its shape before use.

Three ways with one result: cuBLAS through `torch._int_mm`, a Triton kernel for the shapes that it
refuses (few rows, odd widths), and float products of pieces so short that every sum is exact.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

import torch
import triton
import triton.language as tl
from torch import Tensor

from lmcompress.gpt.cuda.kernels import launch

_log = logging.getLogger(__name__)
Product = Callable[[Tensor, Tensor, Tensor], None]
"""Writes q (M, K) int8 times weight (N, K) int8, transposed, into out (M, N) int32."""
EXACT_DEPTH = 1024
"""127 * 127 * EXACT_DEPTH stays below 2**24: exact in float32, with TF32 or bf16 inside too."""
_DISTINCT_ROWS = 64
_REPEATS = 20
_MIN_PROGRAMS = 64
"""Tiles become smaller until there are so many: a GPU has 40 to 150 processors."""


@triton.jit(do_not_specialize=["M"])
def multiply(
    q, weight, out, M, N, K,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One tile of the product; sums of at most 2**17 products of int8 fit in int32."""
    tiles = tl.cdiv(N, BLOCK_N)
    m = (tl.program_id(0) // tiles) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = (tl.program_id(0) % tiles) * BLOCK_N + tl.arange(0, BLOCK_N)
    depth = tl.arange(0, BLOCK_K)
    rows, columns = q + m.to(tl.int64)[:, None] * K, weight + n.to(tl.int64)[None, :] * K
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
    for start in range(0, K, BLOCK_K):
        k = start + depth
        a = tl.load(rows + k[None, :], (m < M)[:, None] & (k < K)[None, :], 0)
        b = tl.load(columns + k[:, None], (n < N)[None, :] & (k < K)[:, None], 0)
        total = tl.dot(a, b, total, out_dtype=tl.int32)
    where = out + m.to(tl.int64)[:, None] * N + n[None, :]
    tl.store(where, total, (m < M)[:, None] & (n < N)[None, :])


def triton_product(q: Tensor, weight: Tensor, out: Tensor) -> None:
    """The product by a Triton kernel, for any shape."""
    (M, K), N = q.shape, len(weight)
    BLOCK_M, BLOCK_N = _tile(M, N)
    grid = (triton.cdiv(M, BLOCK_M) * triton.cdiv(N, BLOCK_N),)
    blocks = {"BLOCK_M": BLOCK_M, "BLOCK_N": BLOCK_N, "BLOCK_K": 64}
    launch(multiply, grid, q, weight, out, M, N, K, warps=8 if BLOCK_M == 128 else 4, **blocks)


def _tile(rows: int, width: int) -> tuple[int, int]:
    """Returns the largest tile of a product that leaves no GPU idle, down to 16 by 32."""
    m = min(128, max(16, triton.next_power_of_2(rows)))
    n = 64 if m < 64 else 128
    while triton.cdiv(rows, m) * triton.cdiv(width, n) < _MIN_PROGRAMS and (m, n) != (16, 32):
        m, n = (m, n // 2) if n > 32 else (m // 2, n)
    return m, n


def cublas_product(q: Tensor, weight: Tensor, out: Tensor) -> None:
    """The product by cuBLAS: more than 16 rows, width and depth multiples of 8."""
    torch._int_mm(q, weight.T, out=out)


def float_product(q: Tensor, weight: Tensor, out: Tensor) -> None:
    """The product by float32 sums of at most EXACT_DEPTH terms."""
    out.zero_()
    with torch.autocast(q.device.type, enabled=False):
        for start in range(0, q.shape[1], EXACT_DEPTH):
            part = slice(start, start + EXACT_DEPTH)
            out += torch.matmul(q[:, part].float(), weight[:, part].float().T).int()


def is_exact(product: Product, rows: int, width: int, depth: int, device: torch.device) -> bool:
    """Whether a product gives known answers for a shape: largest sums of both signs, and random."""
    generator = torch.Generator().manual_seed(1)
    q = torch.randint(-127, 128, (min(rows, _DISTINCT_ROWS), depth), generator=generator)
    weight = torch.randint(-127, 128, (width, depth), generator=generator)
    weight[: width // 2] = 127
    q[0], q[-1] = -127, 127
    expected = (q.double() @ weight.double().T).to(device, torch.int32)
    q = q.to(torch.int8).repeat(-(-rows // len(q)), 1)[:rows].to(device)
    out = torch.empty(rows, width, dtype=torch.int32, device=device)
    product(q, weight.to(device, torch.int8), out)
    return all(torch.equal(part, expected[: len(part)]) for part in out.split(len(expected)))


def _works(product: Product, rows: int, width: int, depth: int, device: torch.device) -> bool:
    try:
        return is_exact(product, rows, width, depth, device)
    except RuntimeError as exc:  # cuBLAS has no kernel for the shape, Triton cannot compile it
        _log.warning("%s (%d, %d, %d): %s", product.__name__, rows, width, depth, exc)
        return False


@functools.cache
def product_for(rows: int, width: int, depth: int, device: torch.device) -> Product:
    """Returns the fastest product that gives known answers for a shape.

    Raises:
      ArithmeticError: If none does.
    """
    candidates: list[Product] = [triton_product]
    if device.type == "cuda" and rows > 16 and width % 8 == depth % 8 == 0:
        candidates.append(cublas_product)
    exact = [product for product in candidates if _works(product, rows, width, depth, device)]
    if len(exact) > 1:
        return min(exact, key=lambda product: _seconds(product, rows, width, depth, device))
    if exact:
        return exact[0]
    _log.warning("int8 products (%d, %d, %d) are wrong on this GPU", rows, width, depth)
    if not is_exact(float_product, rows, width, depth, device):
        raise ArithmeticError("neither int8 nor float32 products give known answers")
    return float_product


def _seconds(product: Product, rows: int, width: int, depth: int, device: torch.device) -> float:
    """Returns the time of a product in a CUDA graph, as engines launch it."""
    q = torch.ones(rows, depth, dtype=torch.int8, device=device)
    weight = torch.ones(width, depth, dtype=torch.int8, device=device)
    out = torch.empty(rows, width, dtype=torch.int32, device=device)
    product(q, weight, out)  # compiles, which a capture cannot
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        for _ in range(_REPEATS):
            product(q, weight, out)
    graph.replay()  # the first is slower
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    graph.replay()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000 / _REPEATS
