"""Integer products by PyTorch, for shapes and processors that `matmul.py` leaves to it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lmcompress.gpt import reference
from lmcompress.gpt.constants import MAX_ACTIVATION

_PART = 256


class PyTorchProduct:
    """Int8 weights laid out for PyTorch: int8 products where they are exact, else float ones."""

    def __init__(self, rows: npt.NDArray[np.int8]) -> None:
        self._rows = rows  # (N, K)
        self._weight = torch.tensor(rows).T.contiguous()  # (K, N)
        self._is_int8 = reference.int8_product_is_usable() and self._gives_known_answers()
        if not self._is_int8:
            bound = MAX_ACTIVATION * int(np.abs(rows.astype(np.int64)).sum(1).max())
            dtype = torch.float32 if bound < 1 << 24 else torch.float64
            self._weight = torch.tensor(rows).to(dtype).T.contiguous()

    def _gives_known_answers(self) -> bool:
        """Whether the fast product is exact for this shape, on the largest sums there can be."""
        width = len(self._rows)
        largest = MAX_ACTIVATION * np.sign(self._rows[:: max(1, width // 16)])
        for q in (largest[:1], np.tile(largest, (4, 1))):
            out = torch.empty(len(q), width, dtype=torch.int32)
            torch._int_mm(torch.from_numpy(q.astype(np.int8)), self._weight, out=out)
            expected = q.astype(np.int64) @ self._rows.T.astype(np.int64)
            if not np.array_equal(out.numpy(), expected):
                return False
        return True

    def bind(self, q: npt.NDArray[Any], out: npt.NDArray[Any]) -> Callable[[], object]:
        """Returns what writes q (M, K) int8 times the weights into out (M, N) int32."""
        tensors = torch.from_numpy(q), torch.from_numpy(out)
        if self._is_int8:
            return functools.partial(torch._int_mm, tensors[0], self._weight, out=tensors[1])
        return functools.partial(self._by_floats, *tensors)

    def _by_floats(self, q: torch.Tensor, out: torch.Tensor) -> None:
        with torch.autocast("cpu", enabled=False):  # it would round the sums to bf16
            out.copy_(torch.mm(q.to(self._weight.dtype), self._weight))


class FloatProduct:
    """Weights for inputs wider than 8 bits, exact in float32.

    An input q is cut into 256 * high + low with |low| <= 128 and |high| <= 128: integers that
    float32, bf16 and TF32 hold alike. Both products stay below 2**24, so their sums are exact, and
    adding them rounds once: the same float32 as the rounded exact sum.
    """

    def __init__(self, rows: npt.NDArray[np.int8]) -> None:
        bound = _PART // 2 * int(np.abs(rows.astype(np.int64)).sum(1).max())
        dtype = torch.float32 if bound < 1 << 24 else torch.float64
        self._weight = torch.tensor(rows).to(dtype).T.contiguous()  # (K, N)

    def bind(self, q: npt.NDArray[Any], out: npt.NDArray[Any]) -> Callable[[], object]:
        """Returns what writes q (M, K) times the weights into out (M, N), both float32."""
        return functools.partial(self._multiply, torch.from_numpy(q), torch.from_numpy(out))

    def _multiply(self, q: torch.Tensor, out: torch.Tensor) -> None:
        with torch.autocast("cpu", enabled=False):  # it would round the sums to bf16
            if self._weight.dtype == torch.float64:
                out.copy_(torch.mm(q.double(), self._weight))
                return
            high = torch.round(q * (1 / _PART))
            torch.mm(q - high * _PART, self._weight, out=out)
            out += torch.mm(high, self._weight) * _PART


class OneCore:
    """Keeps PyTorch's products of the thread inside on one core, and its setting as it was."""

    def __enter__(self) -> None:
        self._before = torch.get_num_threads()
        if self._before != 1:
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        if self._before != 1:
            torch.set_num_threads(self._before)


def stay_on_one_core() -> None:
    """Keeps PyTorch's products of the calling thread on one core."""
    torch.set_num_threads(1)
