"""What the networks of each family read, who sees whom, and which bytes they are asked for.

A window is 128 bytes that are known, the context, and 128 that are to be coded. All families share
it, so that each predicts the same bytes from the same text.

Shapes: B windows, T positions that are read, R rows that predict.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

WINDOW, CONTEXT = 256, 128
NOTHING, MASK = 256, 257
"""Symbols beside the bytes: there is no text here; there is, but it is hidden."""
NUM_SYMBOLS = 258
NO_CONTEXT = 1 / 16
"""Share of the windows that are trained without a context: a text has to begin somewhere."""


@dataclasses.dataclass(frozen=True)
class Family:
    """How a family reads a window, and the layers it does so with."""

    name: str
    reads: str
    """causal, prefix, encoder-decoder, masked or blocks."""
    layers: int = 4
    """Layers of the network; of the decoder, if there is an encoder."""
    encoder_layers: int = 0
    mlp_hidden: int = 512
    block: int = 0
    """Bytes of a block, for block diffusion."""

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return self.name.replace(",", "").replace(" ", "-").lower()


CAUSAL = Family("causal", "causal")
PREFIX = Family("prefix-LM", "prefix")
ENCODER_DECODER = Family("encoder-decoder", "encoder-decoder", 2, 2, 384)
MASKED = Family("masked", "masked")
BLOCKS_OF_4 = Family("block diffusion, 4", "blocks", block=4)
BLOCKS_OF_16 = Family("block diffusion, 16", "blocks", block=16)
FAMILIES = (CAUSAL, PREFIX, ENCODER_DECODER, MASKED, BLOCKS_OF_4, BLOCKS_OF_16)
"""Of equal size: two layers with cross attention and two without have narrower MLPs for it."""


class Reading(NamedTuple):
    """One pass over windows."""

    tokens: Tensor
    """int64 (B, T)."""
    positions: Tensor
    """int64 (T,), counted from the start of the window."""
    seen: Tensor
    """Who (row) sees whom (column), bool (T, T)."""
    rows: slice
    """The positions that predict."""
    encoder_tokens: Tensor | None = None
    """int64 (B, CONTEXT), for an encoder."""


class Example(NamedTuple):
    """What a training step reads and what it should have predicted."""

    reading: Reading
    targets: Tensor
    """Bytes, int64 (B, R)."""
    weights: Tensor
    """How much each counts, float32 (B, R); their sum is one."""


def example(family: Family, windows: Tensor, generator: torch.Generator) -> Example:
    """Returns the training example of a family for windows, int64 (B, WINDOW)."""
    windows = windows.clone()
    without = torch.rand(len(windows), generator=generator) < NO_CONTEXT
    windows[without, :CONTEXT] = NOTHING
    if family.reads == "masked":
        return _masked_example(windows, generator)
    if family.reads == "blocks":
        return _blocks_example(windows, family.block, generator)
    if family.reads == "causal":
        reading, targets = causal_reading(windows), windows
    elif family.reads == "prefix":
        reading, targets = prefix_reading(windows), windows[:, CONTEXT:]
    else:
        reading, targets = decoder_reading(windows), windows[:, CONTEXT:]
    return _weighted(reading, targets, torch.ones(targets.shape))


def causal_reading(windows: Tensor) -> Reading:
    """Each byte is predicted by the position before it, which sees nothing that comes later."""
    tokens = torch.cat((torch.full_like(windows[:, :1], NOTHING), windows[:, :-1]), dim=1)
    return Reading(tokens, torch.arange(WINDOW), before(WINDOW), slice(None))


def prefix_reading(windows: Tensor) -> Reading:
    """As a causal network, but the positions of the context all see each other."""
    seen = before(WINDOW - 1)
    seen[:, :CONTEXT] = True
    rows = slice(CONTEXT - 1, None)
    return Reading(windows[:, :-1], torch.arange(WINDOW - 1), seen, rows)


def decoder_reading(windows: Tensor) -> Reading:
    """An encoder reads the context, a causal decoder the rest; its first position reads nothing."""
    start = torch.full_like(windows[:, :1], NOTHING)
    tokens = torch.cat((start, windows[:, CONTEXT:-1]), dim=1)
    positions = torch.arange(CONTEXT, WINDOW)
    return Reading(tokens, positions, before(CONTEXT), slice(None), windows[:, :CONTEXT])


def masked_reading(windows: Tensor) -> Reading:
    """All positions see all others; some of those to be coded read MASK."""
    return Reading(windows, torch.arange(WINDOW), everyone(WINDOW), slice(CONTEXT, None))


def everyone(length: int, others: int | None = None) -> Tensor:
    """Returns who sees whom if all see all, bool (length, others)."""
    return torch.ones(length, others or length, dtype=torch.bool)


def before(length: int) -> Tensor:
    """Returns who sees whom if each position sees itself and those before it."""
    return torch.ones(length, length, dtype=torch.bool).tril()


def blocks_before(length: int, block: int) -> Tensor:
    """Returns who sees whom if each position sees its own block and those before it."""
    index = torch.arange(length) // block
    return index[:, None] >= index


def _masked_example(windows: Tensor, generator: torch.Generator) -> Example:
    """Hides a number of bytes that is drawn first, each as likely (Hoogeboom et al., 2022)."""
    targets = windows[:, CONTEXT:]
    hidden, weights = _hidden(targets[:, None], generator)
    rest = torch.where(hidden[:, 0], MASK, targets)
    reading = masked_reading(torch.cat((windows[:, :CONTEXT], rest), dim=1))
    return _weighted(reading, targets, weights[:, 0])


def _blocks_example(windows: Tensor, block: int, generator: torch.Generator) -> Example:
    """Reads each window twice, with bytes hidden and as it is (Arriola et al., 2025, section 3).

    A block with hidden bytes sees itself and, as they are, the blocks before it.
    """
    hidden, weights = _hidden(windows.unflatten(1, (-1, block)), generator)
    noisy = torch.where(hidden.flatten(1), MASK, windows)
    index = torch.arange(WINDOW) // block
    seen = torch.zeros(2 * WINDOW, 2 * WINDOW, dtype=torch.bool)
    seen[:WINDOW, :WINDOW] = index[:, None] == index
    seen[:WINDOW, WINDOW:] = index[:, None] > index
    seen[WINDOW:, WINDOW:] = blocks_before(WINDOW, block)
    reading = Reading(
        torch.cat((noisy, windows), dim=1), torch.arange(WINDOW).repeat(2), seen, slice(WINDOW)
    )
    return _weighted(reading, windows, weights.flatten(1))


def _hidden(bytes_: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns which bytes of blocks (B, blocks, n) are hidden, and what a hidden one counts.

    The number of each block's hidden bytes is one of 1 to n, each as likely; together they count
    as much as the block has bytes. In the mean over numbers and orders this is the code length of
    a byte (Hoogeboom et al., 2022, "Autoregressive Diffusion Models", equation 5).
    """
    size = bytes_.shape[-1]
    counts = torch.randint(1, size + 1, bytes_.shape[:-1], generator=generator)[..., None]
    ranks = torch.rand(bytes_.shape, generator=generator).argsort(-1).argsort(-1)
    hidden = ranks < counts
    return hidden, hidden * (size / counts)


def _weighted(reading: Reading, targets: Tensor, weights: Tensor) -> Example:
    """Leaves out targets that are no bytes, and makes the weights sum to one."""
    weights = weights * (targets < NOTHING)
    return Example(reading, targets.clamp(max=NOTHING - 1), weights / weights.sum())
