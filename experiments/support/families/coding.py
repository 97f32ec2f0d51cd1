"""Text to file and back with a network of any family.

Encoder and decoder take the same steps: each asks for bytes one after the other, and is told what
they are, by the text or by the file. A text is cut into lanes that are coded side by side, and each
lane into parts of 128 bytes, for which the part before is the context. Shapes: B lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from experiments.support.families.exact import ExactNetwork, Memory
from experiments.support.families.layout import (
    CONTEXT,
    MASK,
    NOTHING,
    WINDOW,
    before,
    blocks_before,
    everyone,
)
from experiments.support.families.orders import Order, left_to_right
from lmcompress.range_coder import RangeEncoder, SymbolDecoder, long_payload, symbol_bits

LANES = 8
PART = WINDOW - CONTEXT

Ask = Callable[[Tensor, Tensor], Tensor]
"""From the frequencies, less one, (B, 256) of the bytes at offsets (B,) to these bytes (B,)."""


class Encoded(NamedTuple):
    """A file, and where its bits went."""

    file: bytes
    bits: npt.NDArray[np.float64]
    """Code lengths of the parts, (B, parts)."""


def encode(
    network: ExactNetwork, raw: bytes, order: Order = left_to_right, at_once: int = 1
) -> Encoded:
    """Encodes a text, whose length is a multiple of LANES * PART.

    Args:
      network: Predicts.
      raw: The text.
      order: Of the hidden bytes, for networks that are told which are hidden.
      at_once: Bytes coded by each pass of such a network.
    """
    lanes = torch.frombuffer(bytearray(raw), dtype=torch.uint8).long().view(LANES, -1)
    coder, index = RangeEncoder(), np.arange(LANES)
    bits = np.zeros((LANES, lanes.shape[1] // PART))

    def ask(freqs: Tensor, at: Tensor) -> Tensor:
        symbols, rows = lanes[index, at], freqs.float().numpy()
        coder.encode(symbols.int().numpy(), rows)
        bits[index, at.numpy() // PART] += symbol_bits(rows, symbols.numpy())
        return symbols

    _code(network, ask, lanes.shape[1], order, at_once)
    return Encoded(coder.short_payload(), bits)


def decode(
    network: ExactNetwork, file: bytes, num_bytes: int, order: Order = left_to_right,
    at_once: int = 1,
) -> bytes:  # fmt: skip
    """Returns the text of a file that `encode` made with equal arguments."""
    coder = SymbolDecoder(long_payload(file))

    def ask(freqs: Tensor, at: Tensor) -> Tensor:
        return torch.tensor([coder.decode(row[None]) for row in freqs.float().numpy()])

    lanes = _code(network, ask, num_bytes // LANES, order, at_once)
    return lanes.to(torch.uint8).numpy().tobytes()


def _code(network: ExactNetwork, ask: Ask, length: int, order: Order, at_once: int) -> Tensor:
    """Asks for the bytes of all lanes, part after part; returns them, (B, length)."""
    parts = [torch.full((LANES, CONTEXT), NOTHING)]
    for start in range(0, length, PART):

        def ask_here(freqs: Tensor, at: Tensor, start: int = start) -> Tensor:
            return ask(freqs, start + at)

        if network.family.reads == "masked":
            part = _masked_part(network, parts[-1], ask_here, order, at_once)
        elif network.family.reads == "blocks":
            part = _blocks_part(network, parts[-1], ask_here, order, at_once)
        else:
            part = _next_bytes(network, parts[-1], ask_here)
        parts.append(part)
    return torch.cat(parts[1:], dim=1)


def _next_bytes(network: ExactNetwork, context: Tensor, ask: Ask) -> Tensor:
    """Asks for a part from left to right, each byte from a pass over the one before it."""
    nothing = torch.full((LANES, 1), NOTHING)
    memory = Memory()
    if network.family.reads == "causal":
        tokens = torch.cat((nothing, context), dim=1)
        seen, first = before(CONTEXT + 1), 0
    elif network.family.reads == "prefix":
        tokens, seen, first = context, everyone(CONTEXT), 0
    else:
        memory = network.encode(context)
        tokens, seen, first = nothing, everyone(1), CONTEXT
    part: list[Tensor] = []
    while True:
        positions = first + torch.arange(tokens.shape[1])
        last = slice(-1, None)
        freqs = network.frequencies(tokens, positions, seen, memory, keep=True, rows=last)
        tokens = ask(freqs[:, 0], torch.full((LANES,), len(part)))[:, None]
        part.append(tokens)
        if len(part) == PART:
            return torch.cat(part, dim=1)
        first = int(positions[-1]) + 1
        seen = everyone(1, memory.length + 1)


def _masked_part(
    network: ExactNetwork, context: Tensor, ask: Ask, order: Order, at_once: int
) -> Tensor:
    """Asks for a part in any order, each byte from a pass over context and part."""
    positions, part = torch.arange(WINDOW), torch.full((LANES, PART), MASK)
    while (part == MASK).any():
        freqs = network.frequencies(
            torch.cat((context, part), dim=1), positions, everyone(WINDOW), Memory(),
            keep=False, rows=slice(CONTEXT, None),
        )  # fmt: skip
        _ask_for_some(part, freqs, ask, order, at_once)
    return part


def _blocks_part(
    network: ExactNetwork, context: Tensor, ask: Ask, order: Order, at_once: int
) -> Tensor:
    """Asks for a part block by block, in any order within a block, which sees those before it."""
    size, memory, parts = network.family.block, Memory(), []
    seen = blocks_before(CONTEXT, size)
    network.frequencies(context, torch.arange(CONTEXT), seen, memory, keep=True, rows=slice(0))
    for start in range(CONTEXT, WINDOW, size):
        positions, seen = start + torch.arange(size), everyone(size, start + size)
        block = torch.full((LANES, size), MASK)

        def ask_here(freqs: Tensor, at: Tensor, start: int = start) -> Tensor:
            return ask(freqs, start - CONTEXT + at)

        while (block == MASK).any():
            freqs = network.frequencies(block, positions, seen, memory, keep=False)
            _ask_for_some(block, freqs, ask_here, order, at_once)
        if start + size < WINDOW:
            network.frequencies(block, positions, seen, memory, keep=True, rows=slice(0))
        parts.append(block)
    return torch.cat(parts, dim=1)


def _ask_for_some(part: Tensor, freqs: Tensor, ask: Ask, order: Order, at_once: int) -> None:
    """Fills in the next hidden bytes of a part (B, n), from frequencies (B, n, 256)."""
    index = torch.arange(LANES)
    chosen = torch.from_numpy(order(freqs.numpy(), (part == MASK).numpy())[:, :at_once].copy())
    for at in chosen.T:
        part[index, at] = ask(freqs[index, at], at)
