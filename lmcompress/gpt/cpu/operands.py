"""What the compiled pass takes: a network, the memory of some lanes, and who shares the work.

A kernel is called with plain tuples, since numba takes long to look at named ones, and names them
again inside: `Network(*network)`. L is the number of layers, D a head's channels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lmcompress.gpt.cpu.model import CpuModel, Linear
from lmcompress.gpt.cpu.state import State

Array = npt.NDArray[Any]


class Product(NamedTuple):
    """A product of every layer, or of the output, where there is one."""

    weights_at: npt.NDArray[np.int64]
    """Addresses of the layers' weights, (L,), as `tiles.py` lays them out."""
    scale: npt.NDArray[np.float32]
    """Of the weights' rows, (L, N)."""
    bias: npt.NDArray[np.float32]
    """(L, N), or (L, 0)."""
    depth: int
    """Channels of the input."""


class Table(NamedTuple):
    """An embedding: rows of int8 and a scale for each; none of them if the model lacks it."""

    rows: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]


class NGrams(NamedTuple):
    """Hashed n-grams that add to a token's embedding."""

    orders: npt.NDArray[np.int64]
    bits: int
    rows: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]


class Norms(NamedTuple):
    """All norms in the order of their use: two for each layer, and the last."""

    kind: npt.NDArray[np.int64]
    """Bits of `kernels.NORM` and its neighbours, (2 L + 1,)."""
    gain: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    eps: float


class Heads(NamedTuple):
    """What attention needs to know."""

    queries: int
    keys: int
    """How many heads have queries, and how many have keys and values."""
    has_norms: bool
    """Whether queries and keys have norms, whose gains follow, (L, D)."""
    query_gain: npt.NDArray[np.float32]
    key_gain: npt.NDArray[np.float32]
    cos: npt.NDArray[np.float32]
    sin: npt.NDArray[np.float32]
    windows: npt.NDArray[np.int64]
    """Keys that a query sees, (L,)."""
    exp2: npt.NDArray[np.int32]
    """Powers of two, as the weights are made of them."""


class Activation(NamedTuple):
    """What stands between the two products of an MLP."""

    kind: int
    exp2: npt.NDArray[np.int64]
    tails: npt.NDArray[np.float32]


class Network(NamedTuple):
    """What stays the same from pass to pass."""

    tokens: Table
    ngrams: NGrams
    positions: Table
    norms: Norms
    qkv: Product
    heads: Heads
    proj: Product
    up: Product
    activation: Activation
    down: Product
    output: Product
    logit_exp2: npt.NDArray[np.int64]
    symbols: tuple[Array, Array]
    """As `numerators.sums_from_logits` takes them."""
    grid: tuple[np.float32, np.float32]
    """Levels of a product's input, and 1 / levels."""


class Memory(NamedTuple):
    """What some lanes have read, and room for a pass over them: see `State`."""

    lanes: int
    recent: Array
    rings: tuple[Array, ...]
    x: Array
    scale: Array
    quantized: Array
    sums: Array
    queries: Array
    query_scales: Array
    seen: Array


def network_of(model: CpuModel) -> tuple[Any, ...]:
    """Returns a `Network` as plain tuples of arrays that cannot be written to.

    Arrays of one kind give one type of kernel for all models.
    """
    config = model.config
    kinds, norm_gains, norm_biases = zip(*model.norms, strict=True)
    query_gains, key_gains = zip(*model.qk_gains, strict=True)
    qkv, proj, up, down = (
        _product([layer[name] for layer in model.layers]) for name in ("qkv", "proj", "up", "down")
    )
    network = Network(
        tokens=_table(model, "token_embedding"),
        ngrams=NGrams(
            np.array(config.ngram_orders, np.int64),
            config.ngram_bits,
            *_table(model, "ngram_embedding"),
        ),
        positions=_table(model, "position_embedding"),
        norms=Norms(
            np.array(kinds, np.int64), _stack(norm_gains), _stack(norm_biases), config.norm_eps
        ),
        qkv=qkv,
        heads=Heads(
            config.n_head,
            config.n_kv_head,
            config.qk_norm,
            _stack(query_gains),
            _stack(key_gains),
            model.cos,
            model.sin,
            np.array(model.windows, np.int64),
            model.attention_table,
        ),
        proj=proj,
        up=up,
        activation=Activation(model.activation, model.logit_table, model.normal_tails),
        down=down,
        output=_product([model.output]),
        logit_exp2=model.logit_table,
        symbols=model.symbols,
        grid=model.grid,
    )
    plain: tuple[Any, ...] = _read_only(network)
    return plain


def memory_of(state: State) -> tuple[Any, ...]:
    """Returns a `Memory` as a plain tuple."""
    memory = Memory(
        state.lanes, state.recent, tuple(state.rings), state.x, state.scale, state.quantized,
        state.sums, state.queries, state.query_scales, state.seen,
    )  # fmt: skip
    return tuple(memory)


def _table(model: CpuModel, name: str) -> Table:
    arrays: Any = model.weights.arrays
    if f"{name}.q" in arrays:
        return Table(arrays[f"{name}.q"], arrays[f"{name}.s"])
    return Table(arrays["token_embedding.q"][:0], arrays["token_embedding.s"][:0])


def _product(linears: list[Linear]) -> Product:
    for linear in linears:
        assert linear.panels.flags.c_contiguous
    at = np.array([linear.panels.ctypes.data for linear in linears], np.int64)
    scales = np.stack([linear.scale for linear in linears])
    return Product(at, scales, _stack([linear.bias for linear in linears]), linears[0].depth)


def _stack(rows: Any) -> npt.NDArray[np.float32]:
    """Returns rows of equal length; where some have none, nobody looks at what stands there."""
    width = max(map(len, rows))
    return np.stack([row if len(row) else np.zeros(width, np.float32) for row in rows])


def _read_only(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_read_only, value))
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    return value
