"""A pass through the network by threads that share each product, in one compiled call each.

Products are split by columns, so that each weight is read by one thread, attention by heads, all
else by rows. Threads meet ten times a layer. Sums are integers, and nothing else is split that is
not split anyway: the bits are those of `engine.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from lmcompress.gpt.cpu.attention import attention_kernels, query_scratch, row_scratch
from lmcompress.gpt.cpu.barrier import wait
from lmcompress.gpt.cpu.kernels import (
    activate_quantize,
    add_norm_quantize,
    embed_positions,
    embed_tokens,
)
from lmcompress.gpt.cpu.matmul_int16 import product_columns
from lmcompress.gpt.cpu.tiles import COLUMNS
from lmcompress.jit.compiler import device_function, kernel


@device_function
def _part(count, thread, threads):
    """Which of so many things are this thread's: from the first to before the second."""
    return count * thread // threads, count * (thread + 1) // threads


@device_function
def _columns(q, w_at, out, thread, threads):
    """This thread's columns of out = q @ w.T."""
    first, stop = _part(out.shape[1] // COLUMNS, thread, threads)
    product_columns(q, w_at, out, first * COLUMNS, stop * COLUMNS)


@functools.cache
def tensor_parallel_pass(head_dim: int) -> Callable[..., Any]:
    """Returns the kernel for heads of so many channels."""
    kernels = attention_kernels(head_dim)
    together, enter, look, leave = kernels.queries, kernels.enter, kernels.look, kernels.leave

    @kernel
    def evaluate(
        thread, threads, counter_at, lanes, clock, tokens, has_output, embedding, positions,
        qkv, proj, up, down, output, norms, gains, biases, eps, heads, rotary, rings, window,
        attention_table, activation, logit_table, tails, grid, x, s, quantized, sums,
        queries, query_scales, seen,
    ):  # fmt: skip
        """Reads tokens (rows,), lane-major; logits' sums come into `sums` if there is output.

        A product is (addresses of the layers' weights, scales (L, N), biases (L, N) or (L, 0),
        depth); norms, gains and biases have a row for each norm in the order of their use.
        """
        rows = tokens.shape[0]
        steps, levels, per_level = rows // lanes, grid[0], grid[1]
        n_head, qk_norm, q_gains, k_gains = heads
        a, b = _part(rows, thread, threads)
        mine, scale = x[a:b], s[a:b]
        qkv_at, qkv_scale, qkv_bias, width = qkv
        proj_at, proj_scale, proj_bias, attended = proj
        up_at, up_scale, up_bias, _ = up
        down_at, down_scale, down_bias, hidden = down
        output_at, output_scale, _, _ = output
        q_in = quantized[: rows * width].reshape(rows, width)
        q_attended = quantized[: rows * attended].reshape(rows, attended)
        q_hidden = quantized[: rows * hidden].reshape(rows, hidden)
        into_heads = sums[: rows * qkv_scale.shape[1]].reshape(rows, qkv_scale.shape[1])
        back = sums[: rows * width].reshape(rows, width)
        into_hidden = sums[: rows * up_scale.shape[1]].reshape(rows, up_scale.shape[1])
        logits = sums[: rows * output_scale.shape[1]].reshape(rows, output_scale.shape[1])
        queries = queries[: rows * attended].reshape(lanes, n_head * steps, head_dim)
        query_scales = query_scales[: rows * n_head].reshape(lanes, n_head * steps)
        seen = seen[: rows * attended].reshape(rows, attended)
        k, ks, v, vs = rings
        row, scratch = row_scratch(head_dim), query_scratch(together, window, head_dim)
        entering = _part(n_head + 2 * ks.shape[2], thread, threads)
        looking = _part(n_head * steps, thread, threads)
        if thread == 0:
            embed_tokens(tokens, embedding[0], embedding[1], x)
            if positions[1].shape[0]:
                embed_positions(clock, steps, positions[0], positions[1], x)
        wait(counter_at, threads)
        layers = qkv_at.shape[0]
        for i in range(layers):
            before = back[a:b] if i else back[:0]
            add_norm_quantize(
                mine, before, scale, down_scale[i - 1], down_bias[i - 1],
                norms[2 * i], gains[2 * i], biases[2 * i], eps, q_in[a:b], levels, per_level,
            )  # fmt: skip
            wait(counter_at, threads)
            _columns(q_in, qkv_at[i], into_heads, thread, threads)
            wait(counter_at, threads)
            for lane in range(lanes):
                c, d = lane * steps, (lane + 1) * steps
                enter(
                    into_heads[c:d], s[c:d], qkv_scale[i], qkv_bias[i], clock, n_head, qk_norm,
                    q_gains[i], k_gains[i], eps, rotary[0], rotary[1],
                    k[i, lane], ks[i, lane], v[i, lane], vs[i, lane],
                    queries[lane], query_scales[lane], row, entering[0], entering[1],
                )  # fmt: skip
            wait(counter_at, threads)
            for lane in range(lanes):
                c, d = lane * steps, (lane + 1) * steps
                look(
                    queries[lane], query_scales[lane], clock,
                    k[i, lane], ks[i, lane], v[i, lane], vs[i, lane],
                    window, attention_table, scratch, seen[c:d], looking[0], looking[1],
                )  # fmt: skip
            wait(counter_at, threads)
            leave(seen[a:b], scale, q_attended[a:b], levels, per_level)
            wait(counter_at, threads)
            _columns(q_attended, proj_at[i], back, thread, threads)
            wait(counter_at, threads)
            n = 2 * i + 1
            add_norm_quantize(
                mine, back[a:b], scale, proj_scale[i], proj_bias[i],
                norms[n], gains[n], biases[n], eps, q_in[a:b], levels, per_level,
            )  # fmt: skip
            wait(counter_at, threads)
            _columns(q_in, up_at[i], into_hidden, thread, threads)
            wait(counter_at, threads)
            activate_quantize(
                into_hidden[a:b], scale, up_scale[i], up_bias[i],
                activation, logit_table, tails, q_hidden[a:b], levels, per_level,
            )  # fmt: skip
            wait(counter_at, threads)
            _columns(q_hidden, down_at[i], back, thread, threads)
            wait(counter_at, threads)
        if has_output:
            n = 2 * layers
            add_norm_quantize(
                mine, back[a:b], scale, down_scale[layers - 1], down_bias[layers - 1],
                norms[n], gains[n], biases[n], eps, q_in[a:b], levels, per_level,
            )  # fmt: skip
            wait(counter_at, threads)
            _columns(q_in, output_at[0], logits, thread, threads)
            wait(counter_at, threads)

    return evaluate
