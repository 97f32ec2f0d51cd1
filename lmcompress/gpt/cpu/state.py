"""What some lanes have read, and the scratch memory of a pass over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.model import CpuModel
from lmcompress.gpt.cpu.rings import new_rings


class State:
    """Keys, values and recent tokens of some lanes, and room for a block of steps.

    Scratch memory starts as zeros: after an interrupt, other threads go on with what lies there,
    and the norm of a NaN takes seconds.
    """

    def __init__(self, model: CpuModel, lanes: int, max_steps: int) -> None:
        config = model.config
        rows, heads, D = lanes * max_steps, config.n_head, config.head_dim
        self.lanes, self.max_steps = lanes, max_steps
        self.clock = np.zeros(1, np.int64)
        """Tokens read before; an array, so that a plan can hold it."""
        self.rings = new_rings(lanes, config.n_kv_head, model.windows, max_steps, D)
        orders = config.ngram_orders
        self.recent = np.full((lanes, max(orders, default=1) - 1), config.bos_id, np.int64)
        """The last tokens, which n-grams may reach back to."""
        self.x = np.zeros((rows, config.n_embd), np.float32)
        self.scale = np.zeros(rows, np.float32)
        inputs, sums = (np.float32, np.float32) if model.has_int16_inputs else (np.int8, np.int32)
        self.quantized = np.zeros(rows * max(y.depth for y in model.linears), inputs)
        self.sums = np.zeros(rows * max(y.width for y in model.linears), sums)
        self.queries = np.zeros(rows * heads * D, np.int8)
        self.query_scales = np.zeros(rows * heads, np.float32)
        self.seen = np.zeros(rows * heads * D, np.float32)

    def start(self, position: int, bos_id: int) -> None:
        """Begins a pass after so many tokens; after none, they count as `bos_id`."""
        self.clock[0] = position
        if not position:
            self.recent[:] = bos_id

    def sums_of(self, rows: int, width: int) -> npt.NDArray[Any]:
        """Returns where the sums (rows, width) of a product lie."""
        return self.sums[: rows * width].reshape(rows, width)
