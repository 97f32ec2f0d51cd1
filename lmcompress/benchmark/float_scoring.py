"""Code lengths under any causal model that `transformers` loads, in floating point.

A score only: these numbers differ from machine to machine in their last bits, so no file can be
made from them, and nothing here can be decoded. Long texts are read in windows that overlap, as
Huang et al. (2024) do: all tokens of the first window count, then the last `stride` of each.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

from lmcompress.errors import LmcompressError, ModelNotFoundError
from lmcompress.metrics import code_length_per_byte
from lmcompress.models.catalog import HUB
from lmcompress.system.extras import needs_extra

DEFAULT_WINDOW = 2048
_ROWS = 256
"""Rows of logits that are turned into code lengths at once, in float64."""


@dataclasses.dataclass(frozen=True)
class FloatScore:
    """Code length of a text in floating point; no file was made, and none can be."""

    raw_bytes: int
    num_characters: int
    num_tokens: int
    window: int
    stride: int
    float_code_length_bits: float

    @property
    def float_bits_per_byte(self) -> float:
        """Code length over the bytes of the text."""
        return code_length_per_byte(self.float_code_length_bits, self.raw_bytes)

    @property
    def float_bits_per_character(self) -> float:
        """Code length over the characters of the text."""
        return (
            self.float_code_length_bits / self.num_characters if self.num_characters else math.nan
        )


class FloatScorer:
    """A causal model of `transformers` with its tokenizer.

    Raises:
      MissingDependencyError: Without the `transformers` package.
      ModelNotFoundError: If it cannot be loaded.
    """

    def __init__(
        self, source: str, window: int | None = None, stride: int | None = None, device: str = "cpu"
    ) -> None:
        """Loads `hf:OWNER/NAME`, `hf:OWNER/NAME@REVISION` or a folder.

        Args:
          source: The model.
          window: Tokens that a pass reads; by default 2,048 or what the model takes, if less.
          stride: Tokens of a later window that count; by default half the window.
          device: A device as `torch` names it.
        """
        name, _, revision = source.removeprefix(HUB).partition("@")
        where = {"revision": revision} if revision else {}
        with needs_extra("float", "scoring in floating point", "transformers"):
            library: Any = importlib.import_module("transformers")
        try:
            self._tokenizer = library.AutoTokenizer.from_pretrained(name, **where)
            network = library.AutoModelForCausalLM.from_pretrained(name, dtype="float32", **where)
        except Exception as exc:  # from the hub, safetensors or any kind of model
            reason = " ".join(str(exc).split())
            raise ModelNotFoundError(
                f"cannot load {source} ({type(exc).__name__}: {reason}): give a folder of "
                "transformers, or hf:OWNER/NAME and a network"
            ) from exc
        self._network = network.eval().to(device)
        longest = getattr(network.config, "max_position_embeddings", None)
        self.window = window or min(DEFAULT_WINDOW, longest or DEFAULT_WINDOW)
        self.stride = stride or max(1, self.window // 2)
        if longest and self.window > longest:
            raise LmcompressError(f"the window is {self.window}, {source} takes {longest} at most")
        if self.stride > self.window:
            raise LmcompressError(f"the stride is {self.stride}, more than window {self.window}")

    def score(self, raw: bytes) -> FloatScore:
        """Returns the code length of a text.

        Raises:
          LmcompressError: If it is not UTF-8, or the tokenizer does not reproduce it: the code
            length would leave something out.
        """
        try:
            text = raw.decode()
        except UnicodeDecodeError as exc:
            raise LmcompressError(
                f"no UTF-8 at byte {exc.start}: only text can be scored in floating point"
            ) from exc
        ids = self._encode(text)
        bits = self._code_length_bits(ids) if ids else 0.0
        return FloatScore(len(raw), len(text), len(ids), self.window, self.stride, bits)

    def _encode(self, text: str) -> list[int]:
        # Special tokens spelled in the text are plain text; only ours, put before it, is special.
        tokenizer = self._tokenizer
        ids: list[int] = tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
        decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if decoded != text:
            pairs = itertools.takewhile(
                lambda pair: len(set(pair)) == 1, zip(decoded, text, strict=False)
            )
            same = sum(1 for _ in pairs)
            raise LmcompressError(
                f"the tokenizer changes the text at character {same}: its code length would not "
                "be that of the text"
            )
        return ids

    def _code_length_bits(self, ids: list[int]) -> float:
        import torch

        first = self._tokenizer.bos_token_id
        first = self._tokenizer.eos_token_id if first is None else first
        tokens = torch.tensor([first or 0, *ids])
        nats = 0.0
        with torch.no_grad():
            for context, start, stop in scored_windows(len(ids), self.window, self.stride):
                inputs = tokens[None, context:stop].to(self._network.device)
                logits = self._network(inputs).logits[0, start - context :]
                targets = tokens[start + 1 : stop + 1].to(self._network.device)
                pairs = zip(logits.split(_ROWS), targets.split(_ROWS), strict=True)
                for rows, chosen in pairs:
                    logs = torch.log_softmax(rows.double(), -1)
                    nats -= logs.gather(-1, chosen[:, None]).sum().item()
        return nats / math.log(2)


def scored_windows(count: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Yields (where a window begins, the first token that counts, where it ends) over `count`."""
    start = 0
    while start < count:
        stop = min(count, window if start == 0 else start + stride)
        yield max(0, stop - window), start, stop
        start = stop
