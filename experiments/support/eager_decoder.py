"""How others decode: token by token in eager PyTorch, with a KV cache or without."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lmcompress.gpt.network import GPT, Attention, Block, rotary_angles

Cache = list[tuple[Tensor, Tensor]]


class CachedDecoder:
    """Steps one stream through a pre-norm float network with a KV cache that is concatenated.

    This is what most PyTorch code does: each step appends to the cache and attends over its last
    `window` entries. The logits are the network's, up to the order of sums.
    """

    def __init__(self, network: GPT) -> None:
        self.network, self.position = network, 0
        config = network.config
        self._recent = [config.bos_id] * max(config.ngram_orders, default=1)
        empty = torch.empty(1, config.n_kv_head, 0, config.head_dim)
        self._cache: Cache = [(empty, empty) for _ in network.blocks]
        angles = rotary_angles(config, config.context_length)
        self._cos, self._sin = angles.cos().float(), angles.sin().float()

    @torch.inference_mode()
    def step(self, token: int) -> Tensor:
        """Reads a token; returns the logits of the next, (vocab_size,)."""
        network = self.network
        x = network.token_embedding(torch.tensor([[token]]))
        if network.config.ngram_orders:
            self._recent = [*self._recent[1:], token]
            x = x + network.ngrams(torch.tensor([self._recent]))[:, -1:]
        for i, block in enumerate(network.blocks):
            assert isinstance(block, Block)
            x = x + self._attend(block.attention, block.norm_1(x), i)
            x = x + block.mlp(block.norm_2(x))
        self.position += 1
        return network.output(network.final_norm(x)).float()[0, 0]

    def _attend(self, attention: Attention, x: Tensor, layer: int) -> Tensor:
        config, width = attention.config, attention.kv_width
        q, k, v = attention.qkv(x).split((attention.q_width, width, width), dim=-1)
        q, k, v = (y.view(1, 1, -1, config.head_dim).transpose(1, 2) for y in (q, k, v))
        if config.qk_norm:
            q, k = (F.rms_norm(y, (config.head_dim,), eps=config.norm_eps) for y in (q, k))
        q, k = self._rotate(q), self._rotate(k)
        keys, values = self._cache[layer]
        kept = -attention.window if attention.window else 0
        keys = torch.cat((keys, k), dim=2)[:, :, kept:]
        values = torch.cat((values, v), dim=2)[:, :, kept:]
        self._cache[layer] = keys, values
        y = F.scaled_dot_product_attention(q, keys, values)
        return attention.proj(y.transpose(1, 2).reshape(1, 1, attention.q_width))

    def _rotate(self, x: Tensor) -> Tensor:
        x1, x2 = x.chunk(2, dim=-1)
        cos, sin = self._cos[self.position], self._sin[self.position]
        return torch.cat((x1 * cos - x2 * sin, x2 * cos + x1 * sin), dim=-1)


@torch.inference_mode()
def prefix_step(network: GPT, prefix: Tensor) -> Tensor:
    """Returns the logits (vocab_size,) after a prefix (T,), evaluated without a cache."""
    return network(prefix[None])[0, -1]
