"""A pass through the network in one compiled call, by one thread or by several that share it.

Threads split products by columns, so that each weight is read by one thread, attention by heads,
all else by rows, and meet ten times a layer. Sums are integers, and nothing else is split that is
not split anyway: the bits do not depend on the threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

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
from lmcompress.gpt.cpu.orders import FREQS, HAS_OUTPUT, LANES, POSITION, STEPS, SUMS, TOKENS
from lmcompress.gpt.cpu.rings import layer_rings
from lmcompress.gpt.cpu.tiles import COLUMNS
from lmcompress.jit.addresses import float32_array, int64_array
from lmcompress.jit.compiler import device_function, kernel


@device_function
def _part(count, thread, threads):
    """Which of so many things are this thread's: from the first to before the second."""
    return count * thread // threads, count * (thread + 1) // threads


@functools.cache
def forward_pass(head_dim: int, *, has_int16_inputs: bool) -> Callable[..., Any]:
    """Returns the kernel for heads of so many channels, and inputs of products of so many bits."""
    kernels = attention_kernels(head_dim)
    together, enter, look, leave = kernels.queries, kernels.enter, kernels.look, kernels.leave
    multiply = (matmul_int16 if has_int16_inputs else matmul).product_columns

    @device_function
    def columns(q, w_at, is_unsigned, out, thread, threads):
        first, stop = _part(out.shape[1] // COLUMNS, thread, threads)
        multiply(q, w_at, is_unsigned, out, first * COLUMNS, stop * COLUMNS)

    @kernel
    def evaluate(
        orders, progress, follows, thread, threads, counter_at, first_lane, lanes, recent,
        embedding, ngrams, positions, qkv, proj, up, down, output, norms, gains, biases, eps,
        heads, rotary, windows, attention_table, activation, logit_table, tails, grid, symbols,
        rings, all_x, all_s, quantized, all_sums, all_queries, all_query_scales, all_seen,
    ):  # fmt: skip
        """Evaluates one pass, or follows: pass after pass, as ordered.

        Reads the tokens of `lanes` lanes, from the first one on; logits' sums come into `all_sums`
        if there is output. A product is (addresses of the layers' weights, scales (L, N), biases
        (L, N) or (L, 0), depth); norms, gains and biases have a row for each norm in the order of
        their use.
        """
        levels, per_level = grid
        n_head, n_kv_head, qk_norm, q_gains, k_gains = heads
        qkv_at, qkv_scale, qkv_bias, width = qkv
        proj_at, proj_scale, proj_bias, attended = proj
        up_at, up_scale, up_bias, _ = up
        down_at, down_scale, down_bias, hidden = down
        output_at, output_scale, _, _ = output
        row, scratch = row_scratch(head_dim), query_scratch(together, windows.max(), head_dim)
        entering = _part(n_head + 2 * n_kv_head, thread, threads)
        while not follows or is_ordered(orders, progress):
            steps, has_output, clock = orders[STEPS], orders[HAS_OUTPUT], orders[POSITION:]
            rows, total = lanes * steps, orders[LANES]
            tokens = int64_array(orders[TOKENS], total * steps)
            tokens = tokens[first_lane * steps : (first_lane + lanes) * steps]
            a, b = _part(rows, thread, threads)
            x, s = all_x[:rows], all_s[:rows]
            own_x, scale = x[a:b], s[a:b]
            q_in = quantized[: rows * width].reshape(rows, width)
            q_attended = quantized[: rows * attended].reshape(rows, attended)
            q_hidden = quantized[: rows * hidden].reshape(rows, hidden)
            into_heads = all_sums[: rows * qkv_scale.shape[1]].reshape(rows, qkv_scale.shape[1])
            back = all_sums[: rows * width].reshape(rows, width)
            into_hidden = all_sums[: rows * up_scale.shape[1]].reshape(rows, up_scale.shape[1])
            vocab_size = output_scale.shape[1]
            logits = all_sums[: rows * vocab_size].reshape(rows, vocab_size)
            queries = all_queries[: rows * attended].reshape(lanes, n_head * steps, head_dim)
            query_scales = all_query_scales[: rows * n_head].reshape(lanes, n_head * steps)
            seen = all_seen[: rows * attended].reshape(rows, attended)
            looking = _part(n_head * steps, thread, threads)
            if thread == 0:
                embed_tokens(tokens, embedding[0], embedding[1], x)
                if ngrams[0].shape[0]:
                    by_lane = tokens.reshape(lanes, steps)
                    embed_ngrams(by_lane, recent, ngrams[0], ngrams[1], ngrams[2], ngrams[3], x)
                if positions[1].shape[0]:
                    embed_positions(clock, steps, positions[0], positions[1], x)
            wait(counter_at, threads)
            layers = qkv_at.shape[0]
            for i in range(layers):
                before = back[a:b] if i else back[:0]
                add_norm_quantize(
                    own_x, before, scale, down_scale[i - 1], down_bias[i - 1],
                    norms[2 * i], gains[2 * i], biases[2 * i], eps, q_in[a:b], levels, per_level,
                )  # fmt: skip
                wait(counter_at, threads)
                columns(q_in, qkv_at[i], False, into_heads, thread, threads)
                wait(counter_at, threads)
                k, ks, v, vs = layer_rings(rings, i, lanes, n_kv_head, head_dim)
                for lane in range(lanes):
                    c, d = lane * steps, (lane + 1) * steps
                    enter(
                        into_heads[c:d], s[c:d], qkv_scale[i], qkv_bias[i], clock, n_head, qk_norm,
                        q_gains[i], k_gains[i], eps, rotary[0], rotary[1],
                        k[lane], ks[lane], v[lane], vs[lane],
                        queries[lane], query_scales[lane], row, entering[0], entering[1],
                    )  # fmt: skip
                wait(counter_at, threads)
                for lane in range(lanes):
                    c, d = lane * steps, (lane + 1) * steps
                    look(
                        queries[lane], query_scales[lane], clock,
                        k[lane], ks[lane], v[lane], vs[lane], windows[i],
                        attention_table, scratch, seen[c:d], looking[0], looking[1],
                    )  # fmt: skip
                wait(counter_at, threads)
                leave(seen[a:b], scale, q_attended[a:b], levels, per_level)
                wait(counter_at, threads)
                columns(q_attended, proj_at[i], False, back, thread, threads)
                wait(counter_at, threads)
                n = 2 * i + 1
                add_norm_quantize(
                    own_x, back[a:b], scale, proj_scale[i], proj_bias[i],
                    norms[n], gains[n], biases[n], eps, q_in[a:b], levels, per_level,
                )  # fmt: skip
                wait(counter_at, threads)
                columns(q_in, up_at[i], False, into_hidden, thread, threads)
                wait(counter_at, threads)
                activate_quantize(
                    into_hidden[a:b], scale, up_scale[i], up_bias[i],
                    activation, logit_table, tails, q_hidden[a:b], levels, per_level,
                )  # fmt: skip
                wait(counter_at, threads)
                columns(q_hidden, down_at[i], activation == RELU2, back, thread, threads)
                wait(counter_at, threads)
            if has_output:
                n = 2 * layers
                add_norm_quantize(
                    own_x, back[a:b], scale, down_scale[layers - 1], down_bias[layers - 1],
                    norms[n], gains[n], biases[n], eps, q_in[a:b], levels, per_level,
                )  # fmt: skip
                wait(counter_at, threads)
                columns(q_in, output_at[0], False, logits, thread, threads)
                wait(counter_at, threads)
            low, high = _part(lanes, thread, threads)
            c, d = low * steps, high * steps
            if orders[FREQS]:
                freqs = float32_array(orders[FREQS], steps * total * vocab_size)
                out = freqs.reshape(steps, total, vocab_size)
                out = out[:, first_lane + low : first_lane + high]
                freqs_from_logits(
                    logits[c:d], s[c:d], output_scale[0], logit_table, high - low, out
                )
            if orders[SUMS]:
                count = symbols[0].shape[0] + 1
                all_lanes = int64_array(orders[SUMS], steps * total * count)
                all_lanes = all_lanes.reshape(steps, total, count)
                sums = all_lanes[:, first_lane + low : first_lane + high]
                sums_from_logits(
                    logits[c:d], s[c:d], output_scale[0], symbols[0], symbols[1], high - low, sums
                )
            report(progress)
            if not follows:
                return

    return evaluate
