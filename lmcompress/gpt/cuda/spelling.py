"""From logits to what they say of bytes, where the logits are: `tokenizer/spelling.py` on a GPU.

Of a token some 5 kB cross the bus, 1 kB for each of its bytes; the numerators of all tokens of a
vocabulary of 49,152 would be 200 kB. Plain PyTorch operations on integers: the kernels and the
reference share them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lmcompress.gpt.cuda.numerators import DeviceNumerators
from lmcompress.range_coder import PRECISION_BITS, Freqs
from lmcompress.tokenizer.rounds import ALWAYS, NEVER
from lmcompress.tokenizer.trie import Integers, Trie

_BUDGET = (1 << PRECISION_BITS) - 256
_SHARE_BITS = 62 - PRECISION_BITS
"""Sums are shifted to fewer bits than this, so that their products with a budget fit in 63."""
_MOST_BITS = 63


class DeviceSpelling:
    """A vocabulary's trie on a device."""

    def __init__(self, trie: Trie, vocab_size: int, device: str) -> None:
        self.counts = np.diff(trie.children)
        """Children of each node, on the host."""
        self._numerators = DeviceNumerators(trie.order, vocab_size, device)
        self.first, self.own_stop, self.stop, self.children, self.byte = (
            torch.tensor(array, device=device).long()
            for array in (trie.first, trie.own_stop, trie.stop, trie.children, trie.byte)
        )

    @torch.no_grad()
    def __call__(self, logits: Tensor) -> DeviceSums:
        """Returns what exact logits (n, V) on the device say of n lanes."""
        numerators = self._numerators(logits)
        sums = torch.zeros(
            len(numerators), numerators.shape[1] + 1, dtype=torch.int64, device=logits.device
        )
        torch.cumsum(numerators, 1, dtype=torch.int64, out=sums[:, 1:])
        return DeviceSums(self, sums)


class DeviceSums:
    """`tokenizer.spelling.Sums` on a device; results come to the host."""

    def __init__(self, trie: DeviceSpelling, sums: Tensor) -> None:
        self._trie, self._sums = trie, sums

    @torch.no_grad()
    def freqs(self, lanes: Integers, nodes: Integers) -> Freqs:
        """See `Sums`; shares are differences of rounded prefix sums, as on the host."""
        trie, (lane, node) = self._trie, self._sent(lanes, nodes)
        start, count = trie.children[node], trie.children[node + 1] - trie.children[node]
        index = torch.arange(int(trie.counts[nodes].max()), device=lane.device)
        is_child = index < count[:, None]
        child = torch.where(is_child, start[:, None] + index, 0)
        low = self._sums[lane, trie.own_stop[node]]
        whole = self._sums[lane, trie.stop[node]] - low
        part = self._sums[lane[:, None], trie.stop[child]] - low[:, None]
        shares = _scaled(part, whole[:, None], _BUDGET)
        alike = (index + 1) * _BUDGET // count.clamp(min=1)[:, None]
        shares = torch.where(whole[:, None] > 0, shares, alike)
        shares[:, 1:] -= shares[:, :-1].clone()
        freqs = torch.zeros(len(lane), 257, device=lane.device)  # the last: what is no child
        freqs.scatter_(1, torch.where(is_child, trie.byte[child], 256), shares.float())
        return np.asarray(freqs[:, :256].contiguous().cpu())

    @torch.no_grad()
    def ends(self, lanes: Integers, nodes: Integers) -> Integers:
        """See `Sums`."""
        trie, (lane, node) = self._trie, self._sent(lanes, nodes)
        first, own_stop, stop = trie.first[node], trie.own_stop[node], trie.stop[node]
        low = self._sums[lane, first]
        own, whole = self._sums[lane, own_stop] - low, self._sums[lane, stop] - low
        end = _scaled(own, whole, 1 << PRECISION_BITS).clamp(2, ALWAYS - 2)
        end = torch.where(whole > 0, end, ALWAYS // 2)
        end = torch.where(own_stop == stop, ALWAYS, end)
        return np.asarray(torch.where(first == own_stop, NEVER, end).int().cpu())

    def _sent(self, lanes: Integers, nodes: Integers) -> Tensor:
        return torch.from_numpy(np.stack((lanes, nodes)).astype(np.int64)).to(self._sums.device)


def _scaled(part: Tensor, whole: Tensor, budget: int) -> Tensor:
    """Returns part / whole * budget, rounded down after both were shifted to fit."""
    bits = torch.arange(_SHARE_BITS, _MOST_BITS, device=whole.device)
    shift = (whole[..., None] >> bits > 0).sum(-1)
    divisor = (whole >> shift).clamp(min=1)
    return torch.div((part >> shift) * budget, divisor, rounding_mode="floor")
