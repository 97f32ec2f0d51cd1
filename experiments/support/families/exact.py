"""The same networks in exact arithmetic: any pass over the same text gives the same bits.

Made of the operations of docs/arithmetic.md, so that a decoder computes again what an encoder
computed. Shapes as in `network.py`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from experiments.support.families.layout import CONTEXT, everyone
from experiments.support.families.network import Network, rotary, rotate
from experiments.support.families.operations import (
    Linear,
    integer_attention,
    linear,
    rms_norm,
)
from lmcompress.gpt.quantization import quantize_rows
from lmcompress.gpt.reference import IntegerLinear, integer_softmax, quantize

KeysValues = tuple[Tensor, Tensor, Tensor, Tensor]
"""Keys, their scales, values, their scales: (B, H, S, D) and (B, H, S, 1)."""


@dataclasses.dataclass
class Memory:
    """What later passes may look back at."""

    layers: dict[int, KeysValues] = dataclasses.field(default_factory=dict)
    """Of the positions that were kept, by layer."""
    encoded: list[KeysValues] = dataclasses.field(default_factory=list)
    """What an encoder made, as each decoder layer sees it."""

    @property
    def length(self) -> int:
        """Positions kept."""
        return self.layers[0][0].shape[2] if self.layers else 0


class ExactNetwork:
    """Evaluates a network of a family with int8 weights; its last layer only where asked."""

    def __init__(self, network: Network) -> None:
        self.config, self.family = network.config, network.family
        self.rotary = rotary(network.config)
        self.passes = self.positions = 0
        """Passes so far, and the positions they computed in each lane."""
        self.linears: dict[str, IntegerLinear | Linear] = {}
        for name, tensor in network.state_dict().items():
            arrays: Any = quantize_rows(tensor.detach().float().numpy())
            stem = name.removesuffix(".weight")
            if stem == "embedding":
                self.embedding = torch.from_numpy(arrays["q"]), torch.from_numpy(arrays["s"])
            else:
                after_relu = stem.endswith("mlp.down")
                self.linears[stem] = linear(
                    arrays["q"], arrays["s"], has_unsigned_inputs=after_relu
                )

    def encode(self, tokens: Tensor) -> Memory:
        """Returns what the decoder sees of tokens (B, CONTEXT) that the encoder reads."""
        self._count(tokens)
        at = torch.arange(CONTEXT)
        x, nothing = self._embed(tokens), Memory()
        for i in range(self.family.encoder_layers):
            x = self._block("encoder", i, x, at, everyone(CONTEXT), nothing, keep=False)
        encoded, memory = self._norm(x), Memory()
        for i in range(self.family.layers):
            cross = f"blocks.decoder.{i}.cross"
            memory.encoded.append(self._keys_values(cross, encoded, at))
        return memory

    def frequencies(
        self, tokens: Tensor, positions: Tensor, seen: Tensor, memory: Memory, *,
        keep: bool, rows: slice = slice(None),
    ) -> Tensor:  # fmt: skip
        """Returns the frequencies of the bytes, less one, int64 (B, R, 256).

        Args:
          tokens: int64 (B, T).
          positions: Of the tokens in the window, int64 (T,).
          seen: Bool (T, S): of the positions kept before, and of these.
          memory: Advanced by the tokens if `keep` is set.
          keep: Whether later passes see these tokens.
          rows: The positions that predict.
        """
        self._count(tokens)
        x = self._embed(tokens)
        last = self.family.layers - 1
        for i in range(self.family.layers):
            asked = rows if i == last else slice(None)
            x = self._block("decoder", i, x, positions, seen, memory, keep=keep, rows=asked)
        return integer_softmax(self.linears["output"](self._norm(x)))

    def _count(self, tokens: Tensor) -> None:
        self.passes += 1
        self.positions += tokens.shape[1]

    def _embed(self, tokens: Tensor) -> Tensor:
        q, s = self.embedding
        return q[tokens].float() * s[tokens, None]

    def _norm(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.config.norm_eps)

    def _block(
        self, stack: str, i: int, x: Tensor, at: Tensor, seen: Tensor, memory: Memory, *,
        keep: bool, rows: slice = slice(None),
    ) -> Tensor:  # fmt: skip
        name, y = f"blocks.{stack}.{i}", self._norm(x)
        new = self._keys_values(f"{name}.attention", y, at)
        if i in memory.layers:
            new = _joined(memory.layers[i], new)
        if keep:
            memory.layers[i] = new
        x, y, at, seen = x[:, rows], y[:, rows], at[rows], seen[rows]
        x = x + self._attention(f"{name}.attention", y, at, new, seen)
        if memory.encoded:
            y, everything = self._norm(x), everyone(len(at), CONTEXT)
            x = x + self._attention(f"{name}.cross", y, at, memory.encoded[i], everything)
        h = self.linears[f"{name}.mlp.up"](self._norm(x)).clamp(min=0)
        return x + self.linears[f"{name}.mlp.down"](h * h)

    def _keys_values(self, name: str, x: Tensor, at: Tensor) -> KeysValues:
        k, v = self._heads(self.linears[f"{name}.key_value"](x)).chunk(2, dim=1)
        cos, sin = self.rotary
        return *quantize(rotate(self._norm(k), cos[at], sin[at])), *quantize(v)

    def _attention(
        self, name: str, x: Tensor, at: Tensor, other: KeysValues, seen: Tensor
    ) -> Tensor:
        q = self._norm(self._heads(self.linears[f"{name}.query"](x)))
        cos, sin = self.rotary
        y = integer_attention(rotate(q, cos[at], sin[at]), *other, seen)
        return self.linears[f"{name}.proj"](y.transpose(1, 2).flatten(-2))

    def _heads(self, y: Tensor) -> Tensor:
        heads: Tensor = y.unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)
        return heads


def _joined(before: KeysValues, new: KeysValues) -> KeysValues:
    k, k_scale, v, v_scale = (torch.cat(pair, dim=2) for pair in zip(before, new, strict=True))
    return k, k_scale, v, v_scale
