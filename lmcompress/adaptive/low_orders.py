"""What needs no hash: the GPT, the orders 0 and 1, a constant."""

from __future__ import annotations

import numpy as np

from lmcompress.adaptive.learning import is_left_out, learned
from lmcompress.adaptive.logistic import TOTAL, TOTAL_BITS, stretch
from lmcompress.adaptive.state import COUNT_LIMIT, GPT_INPUT, ORDER_1_INPUT, PARTS
from lmcompress.jit.compiler import lean_kernel

_CONSTANT = 256
_ORDER_0_ROW = 256
_PART = PARTS.index("orders 0 and 1")


@lean_kernel
def start_gpt(lane, freqs, row):
    """Takes the GPT's freqs (n, 256) for the next byte from a row."""
    total = np.int64(0)
    for v in range(256):
        lane.cumulative[v] = total
        total += np.int64(freqs[row, v]) + 1
    lane.cumulative[256] = total
    lane.low, lane.high = 0, 256


@lean_kernel
def predict_gpt(S, i):
    """Sets the inputs of the GPT for lane i's bit; returns its stretched probability."""
    lane = S.lanes[i]
    middle = (lane.low + lane.high) >> 1
    upper = lane.cumulative[lane.high] - lane.cumulative[middle]
    whole = lane.cumulative[lane.high] - lane.cumulative[lane.low]
    return set_gpt_inputs(S.shared[0], lane, np.int64((upper << TOTAL_BITS) // whole))


@lean_kernel
def set_gpt_inputs(shared, lane, p):
    """Sets the GPT's inputs and the constant; returns the stretched p."""
    gpt = np.int64(stretch(shared, min(max(p, 1), TOTAL - 1)))
    lane.inputs[GPT_INPUT] = gpt
    lane.inputs[GPT_INPUT + 1] = (p - TOTAL // 2) >> (TOTAL_BITS - 11)
    lane.inputs[ORDER_1_INPUT + 1] = _CONSTANT
    return gpt


@lean_kernel
def narrow_gpt(lane, y):
    """Narrows the GPT's interval to bit y."""
    middle = (lane.low + lane.high) >> 1
    lane.low, lane.high = (middle, lane.high) if y else (lane.low, middle)


@lean_kernel
def predict_low_orders(S, i):
    """Sets the inputs of the orders 0 and 1."""
    lane, shared = S.lanes[i], S.shared[0]
    if is_left_out(shared, _PART):
        return
    order_1 = np.int64(shared.low_orders[lane.recent & 255, lane.c0]) >> 10
    order_0 = np.int64(shared.low_orders[_ORDER_0_ROW, lane.c0]) >> 10
    lane.inputs[ORDER_1_INPUT] = stretch(shared, order_1)
    lane.inputs[ORDER_1_INPUT + 2] = stretch(shared, order_0)


@lean_kernel
def learn_low_orders(S, i, target):
    """Moves the orders towards target, the probability that lane i's bit should have had."""
    lane, shared = S.lanes[i], S.shared[0]
    if is_left_out(shared, _PART):
        return
    table, last, c0 = shared.low_orders, lane.recent & 255, lane.c0
    table[last, c0] = learned(table[last, c0], target, shared.rates, COUNT_LIMIT)
    table[_ORDER_0_ROW, c0] = learned(table[_ORDER_0_ROW, c0], target, shared.rates, COUNT_LIMIT)
