"""Exact evaluation by the plain PyTorch reference, on any device that PyTorch knows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from lmcompress.gpt.numerators import ReferenceNumerators
from lmcompress.gpt.quantization import ExactWeights
from lmcompress.gpt.reference import Cache, ExactGPT, integer_softmax
from lmcompress.tokenizer.spelling import prefix_sums


class TorchEngine:
    """Steps streams of one model through the reference, at most `max_steps` at once."""

    def __init__(self, weights: ExactWeights, device: str, max_steps: int | None = None) -> None:
        self._gpt, self._cache, self._tokens = ExactGPT(weights, device), Cache(), weights.tokens
        self._max_steps = max_steps

    @property
    def position(self) -> int:
        """Tokens read since the last reset."""
        return self._cache.position

    def reset(self) -> None:
        """Forgets all tokens."""
        self._cache = Cache()

    def predict(
        self, tokens: npt.NDArray[np.int64], logits: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """Returns freqs (steps, lanes, vocab_size) after each of tokens (lanes, steps).

        `logits`, if given, is filled with the exact logits, of the same shape.
        """
        parts, start = [], 0
        for found in self._evaluate(tokens):
            part = slice(start, start + found.shape[1])
            if logits is not None:
                logits[part] = found.transpose(0, 1).cpu().numpy()
            freqs = integer_softmax(found)  # at most 2**24: exact in float32
            parts.append(freqs.transpose(0, 1).to(torch.float32).contiguous().cpu().numpy())
            start = part.stop
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def sums(
        self, tokens: npt.NDArray[np.int64], logits: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.int64]:
        """Returns prefix sums of softmax numerators after each of tokens (lanes, steps).

        They are in the order of the model's token trie, (steps, lanes, symbols + 1). `logits`, if
        given, is filled with the exact logits.
        """
        assert self._tokens is not None
        found = self.logits(tokens)
        if logits is not None:
            logits[:] = found
        numerators = ReferenceNumerators(self._tokens.trie.order)
        rows = prefix_sums(numerators(found.reshape(-1, found.shape[2])))
        return rows.reshape(*found.shape[:2], -1)

    def logits(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Returns exact logits (steps, lanes, vocab_size) after each of tokens (lanes, steps)."""
        parts = [
            found.transpose(0, 1).contiguous().cpu().numpy() for found in self._evaluate(tokens)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def device_logits(self, tokens: npt.NDArray[np.int64]) -> torch.Tensor:
        """Returns what `logits` returns, as a tensor on the device."""
        parts = [found.transpose(0, 1) for found in self._evaluate(tokens)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def read(self, tokens: npt.NDArray[np.int64]) -> None:
        """Reads tokens (lanes, steps) as context, without predicting."""
        for _ in self._evaluate(tokens):
            pass

    @torch.no_grad()
    def _evaluate(self, tokens: npt.NDArray[np.int64]) -> Iterator[torch.Tensor]:
        """Yields logits (lanes, steps, vocab_size), a block of steps at a time."""
        max_steps = self._max_steps or tokens.shape[1]
        for start in range(0, tokens.shape[1], max_steps):
            block = np.ascontiguousarray(tokens[:, start : start + max_steps])
            # A caller's autocast would round the sums to bf16.
            with torch.autocast(self._gpt.device.type, enabled=False):
                found = self._gpt.logits(torch.from_numpy(block), self._cache)
            yield found

    def close(self) -> None:
        """Drops the cache."""
        self.reset()
