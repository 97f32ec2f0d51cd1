"""A pass through the network in one compiled call, by one thread or by several that share it.

Threads split products by columns, so that each weight is read by one thread, attention by heads,
all else by rows, and meet ten times a layer. Sums are integers, and nothing else is split that is
not split anyway: the bits do not depend on the threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from lmcompress.gpt.cpu import matmul, matmul_int16
from lmcompress.gpt.cpu.attention import attention_kernels, query_scratch, row_scratch
from lmcompress.gpt.cpu.barrier import is_ordered, report, wait
from lmcompress.gpt.cpu.kernels import (
    RELU2,
    activate_quantize,
    add_norm_quantize,
    embed_ngrams,
    embed_positions,
    embed_tokens,
    freqs_from_logits,
)
from lmcompress.gpt.cpu.numerators import sums_from_logits
from lmcompress.gpt.cpu.operands import (
    Activation,
    Heads,
    Memory,
    Network,
    NGrams,
    Norms,
    Product,
    Table,
)
from lmcompress.gpt.cpu.orders import FREQS, HAS_OUTPUT, LANES, POSITION, STEPS, SUMS, TOKENS
from lmcompress.gpt.cpu.rings import layer_rings
from lmcompress.gpt.cpu.tiles import COLUMNS
from lmcompress.jit.addresses import float32_array, int64_array
from lmcompress.jit.compiler import device_function, kernel


class Part(NamedTuple):
    """Which of the threads that share a pass this is, and the address of where they meet."""

    thread: int
    threads: int
    counter_at: int


class Rows(NamedTuple):
    """The memory of one pass: its rows are (lane, step) pairs, `a` to `b` are this thread's."""

    a: int
    b: int
    x: Any
    scale: Any
    queries: Any
    """(lanes, heads * steps, D), and their scales behind."""
    query_scales: Any
    seen: Any
    """What attention gives, (rows, heads * D)."""


@device_function
def _share(count, part):
    """Which of so many things are this thread's: from the first to before the second."""
    return count * part.thread // part.threads, count * (part.thread + 1) // part.threads


@device_function
def _meet(part):
    wait(part.counter_at, part.threads)


@device_function
def _matrix(memory, rows, columns):
    """The first of a scratch array, as so many rows."""
    return memory[: rows * columns].reshape(rows, columns)


@device_function
def _rows_of(memory, lanes, steps, heads, head_dim, part):
    n, queries = lanes * steps, heads * steps
    a, b = _share(n, part)
    return Rows(
        a, b, memory.x[:n], memory.scale[:n],
        memory.queries[: lanes * queries * head_dim].reshape(lanes, queries, head_dim),
        memory.query_scales[: lanes * queries].reshape(lanes, queries),
        _matrix(memory.seen, n, heads * head_dim),
    )  # fmt: skip


@device_function
def _embed(tokens, clock, recent, network, x):
    """Fills x with what the tokens (lanes, steps) are to the network."""
    table, positions, ngrams = (
        Table(*network.tokens),
        Table(*network.positions),
        NGrams(*network.ngrams),
    )
    embed_tokens(tokens.reshape(-1), table.rows, table.scale, x)
    if ngrams.orders.shape[0]:
        embed_ngrams(tokens, recent, ngrams.orders, ngrams.bits, ngrams.rows, ngrams.scale, x)
    if positions.scale.shape[0]:
        embed_positions(clock, tokens.shape[1], positions.rows, positions.scale, x)


@device_function
def _add_norm_quantize(sums, product, layer, n, rows, network, q):
    """Adds a product to this thread's rows of x, if `sums` has any; quantizes norm n of them."""
    a, b, norms = rows.a, rows.b, Norms(*network.norms)
    add_norm_quantize(
        rows.x[a:b], sums, rows.scale[a:b], product.scale[layer], product.bias[layer],
        norms.kind[n], norms.gain[n], norms.bias[n], norms.eps, q[a:b],
        network.grid[0], network.grid[1],
    )  # fmt: skip


@device_function
def _give_outputs(orders, logits, scale, network, first_lane, lanes, part):
    """Fills what was ordered of frequencies and sums, for this thread's lanes."""
    output, steps, total = Product(*network.output), orders[STEPS], orders[LANES]
    low, high = _share(lanes, part)
    count, scales = high - low, output.scale[0]
    mine, own = slice(low * steps, high * steps), slice(first_lane + low, first_lane + high)
    if orders[FREQS]:
        shape = steps, total, output.scale.shape[1]
        freqs = float32_array(orders[FREQS], shape[0] * shape[1] * shape[2]).reshape(shape)
        table = network.logit_exp2
        freqs_from_logits(logits[mine], scale[mine], scales, table, count, freqs[:, own])
    if orders[SUMS]:
        places, exp2 = network.symbols
        shape = steps, total, places.shape[0] + 1
        sums = int64_array(orders[SUMS], shape[0] * shape[1] * shape[2]).reshape(shape)
        sums_from_logits(logits[mine], scale[mine], scales, places, exp2, count, sums[:, own])


@functools.cache
def forward_pass(head_dim: int, *, has_int16_inputs: bool) -> Callable[..., Any]:
    """Returns the kernel for heads of so many channels, and inputs of products of so many bits."""
    kernels = attention_kernels(head_dim)
    together, enter, look, leave = kernels.queries, kernels.enter, kernels.look, kernels.leave
    multiply = (matmul_int16 if has_int16_inputs else matmul).product_columns

    @device_function
    def columns(q, product, layer, is_unsigned, out, part):
        """Multiplies q by this thread's columns of the weights, once all have written q."""
        _meet(part)
        first, stop = _share(out.shape[1] // COLUMNS, part)
        at = product.weights_at[layer]
        multiply(q, at, is_unsigned, out, first * COLUMNS, stop * COLUMNS)
        _meet(part)

    @device_function
    def attend(sums, i, clock, rings, scratch, rows, network, out, part):
        """Quantizes what attention makes of the queries, keys and values in `sums` into out."""
        heads, qkv, eps = Heads(*network.heads), Product(*network.qkv), network.norms[3]
        lanes = rows.queries.shape[0]
        steps = sums.shape[0] // lanes
        row, blocks = scratch
        k, ks, v, vs = layer_rings(rings, i, lanes, heads.keys, head_dim)
        first, stop = _share(heads.queries + 2 * heads.keys, part)
        for lane in range(lanes):
            own = slice(lane * steps, (lane + 1) * steps)
            enter(
                sums[own], rows.scale[own], qkv.scale[i], qkv.bias[i], clock, heads.queries,
                heads.has_norms, heads.query_gain[i], heads.key_gain[i], eps, heads.cos, heads.sin,
                k[lane], ks[lane], v[lane], vs[lane],
                rows.queries[lane], rows.query_scales[lane], row, first, stop,
            )  # fmt: skip
        _meet(part)
        first, stop = _share(heads.queries * steps, part)
        for lane in range(lanes):
            look(
                rows.queries[lane], rows.query_scales[lane], clock,
                k[lane], ks[lane], v[lane], vs[lane], heads.windows[i], heads.exp2, blocks,
                rows.seen[lane * steps : (lane + 1) * steps], first, stop,
            )  # fmt: skip
        _meet(part)
        a, b = rows.a, rows.b
        leave(rows.seen[a:b], rows.scale[a:b], out[a:b], network.grid[0], network.grid[1])

    @device_function
    def activate(sums, i, rows, network, out):
        """Quantizes the activation of this thread's rows into out."""
        a, b, up, kind = rows.a, rows.b, Product(*network.up), Activation(*network.activation)
        activate_quantize(
            sums[a:b], rows.scale[a:b], up.scale[i], up.bias[i], kind.kind, kind.exp2, kind.tails,
            out[a:b], network.grid[0], network.grid[1],
        )  # fmt: skip

    @device_function
    def one_pass(orders, part, first_lane, network, memory, scratch):
        """Evaluates the pass that is ordered for these lanes."""
        qkv, proj, up = Product(*network.qkv), Product(*network.proj), Product(*network.up)
        down, output, heads = Product(*network.down), Product(*network.output), network.heads
        lanes, steps, clock = memory.lanes, orders[STEPS], orders[POSITION:]
        rows = _rows_of(memory, lanes, steps, heads[0], head_dim, part)
        n, a, b = lanes * steps, rows.a, rows.b
        normed = _matrix(memory.quantized, n, qkv.depth)
        attended = _matrix(memory.quantized, n, proj.depth)
        hidden = _matrix(memory.quantized, n, down.depth)
        into_heads = _matrix(memory.sums, n, qkv.scale.shape[1])
        into_hidden = _matrix(memory.sums, n, up.scale.shape[1])
        back = _matrix(memory.sums, n, qkv.depth)
        logits = _matrix(memory.sums, n, output.scale.shape[1])
        if part.thread == 0:
            tokens = int64_array(orders[TOKENS], orders[LANES] * steps)
            own = tokens[first_lane * steps : (first_lane + lanes) * steps]
            _embed(own.reshape(lanes, steps), clock, memory.recent, network, rows.x)
        _meet(part)
        layers = qkv.weights_at.shape[0]
        for i in range(layers):
            before = back[a:b] if i else back[:0]
            _add_norm_quantize(before, down, i - 1, 2 * i, rows, network, normed)
            columns(normed, qkv, i, False, into_heads, part)
            attend(into_heads, i, clock, memory.rings, scratch, rows, network, attended, part)
            columns(attended, proj, i, False, back, part)
            _add_norm_quantize(back[a:b], proj, i, 2 * i + 1, rows, network, normed)
            columns(normed, up, i, False, into_hidden, part)
            activate(into_hidden, i, rows, network, hidden)
            columns(hidden, down, i, network.activation[0] == RELU2, back, part)
        if orders[HAS_OUTPUT]:
            last = layers - 1
            _add_norm_quantize(back[a:b], down, last, 2 * layers, rows, network, normed)
            columns(normed, output, 0, False, logits, part)
        _give_outputs(orders, logits, rows.scale, network, first_lane, lanes, part)

    @kernel
    def evaluate(orders, progress, follows, part, first_lane, network, memory):
        """Evaluates one pass, or follows: pass after pass, as ordered.

        Reads the tokens of the memory's lanes, from the first one on; logits' sums come into
        `memory.sums` if there is output. The last three are a `Part`, a `Network` and a `Memory`.
        """
        part, network, memory = Part(*part), Network(*network), Memory(*memory)
        window = Heads(*network.heads).windows.max()
        scratch = row_scratch(head_dim), query_scratch(together, window, head_dim)
        while not follows or is_ordered(orders, progress):
            one_pass(orders, part, first_lane, network, memory, scratch)
            report(progress)
            if not follows:
                return

    return evaluate
