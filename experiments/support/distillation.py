"""Training on what a larger model expects next (distillation: Hinton et al., 2015).

The teacher reads tokens, the student bytes. The teacher's probability of the next byte is the sum
over all tokens that agree with the text since the token's start and with that byte. That the token
has not ended yet is taken as known, as it is in a tokenized text.

Shapes: B sequences, T bytes of each, V tokens of the teacher.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lmcompress.codec.session import resolve_threads
from lmcompress.gpt.cpu.select import cpu_engine
from lmcompress.models.store import Model, load_model
from lmcompress.tokenizer.bpe import tokenizer_of
from lmcompress.tokenizer.vocabulary import Symbols, TokenTable
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer

TEACHER = "smollm2-135m"
SHARE = 0.5
"""Of the loss, how much is against the teacher; the rest is against the text."""
_STEPS = 32
"""Tokens of each sequence whose logits are held at once, float32 (_STEPS, B, V)."""
_LEAST = 2.0**-40
"""Probability below which sums over tokens are lost in rounding."""

Floats = npt.NDArray[np.float32]


class Spellings:
    """The tokens of a table in the order of their bytes: a prefix is a range of them."""

    def __init__(self, table: TokenTable) -> None:
        spelled = np.flatnonzero(table.is_spelled)
        tokens = sorted((table.tokens[i], int(i)) for i in spelled)
        self.order = np.array([i for _, i in tokens])
        """Ids by spelling, (n,)."""
        longest = max(len(spelling) for spelling, _ in tokens)
        self._columns = np.full((longest, len(tokens)), -1, np.int16)
        for column, (spelling, _) in enumerate(tokens):
            self._columns[: len(spelling), column] = np.frombuffer(spelling, np.uint8)
        self._bounds: dict[bytes, npt.NDArray[np.int64]] = {}

    def bounds(self, prefix: bytes) -> npt.NDArray[np.int64]:
        """Returns where, in `order`, the tokens of each byte after a prefix begin, (257,)."""
        if prefix not in self._bounds:
            low, high = 0, len(self.order)
            if prefix:
                before = self.bounds(prefix[:-1])
                low, high = before[prefix[-1]], before[prefix[-1] + 1]
            column = self._columns[len(prefix), low:high]
            self._bounds[prefix] = low + np.searchsorted(column, np.arange(257))
        return self._bounds[prefix]


class Teacher:
    """A model of tokens that says how probable each next byte of a text is."""

    def __init__(self, model: Model, lanes: int) -> None:
        """Takes a model of tokens, and how many texts are read side by side."""
        assert model.weights is not None
        assert model.tokens is not None
        self._table, self._bos_id = model.tokens, model.weights.config.bos_id
        self._context_length = model.weights.config.context_length
        self._tokenizer = tokenizer_of(model.folder, self._table)
        self._spellings = Spellings(self._table)
        self._engine = cpu_engine(model.weights, lanes, _STEPS, resolve_threads(None))

    def probabilities(self, texts: npt.NDArray[np.uint8]) -> Floats:
        """Returns the probability of each byte at each place of texts (B, T), (B, T, 256).

        Where the teacher has none, the text's own byte is certain: at what no token spells, and
        where the text is all but impossible to it.

        Raises:
          ValueError: If texts are longer than the teacher's context.
        """
        if texts.shape[-1] > self._context_length:
            raise ValueError(
                f"texts of {texts.shape[-1]:,} bytes, a teacher of {self._context_length:,} "
                "tokens: train on shorter sequences"
            )
        found = np.eye(256, dtype=np.float32)[texts]
        symbols = [self._tokenizer.encode(text.tobytes()) for text in texts]
        places = [self._places(row) for row in symbols]
        for start, sums in self._cumulative(symbols):
            for lane, row in enumerate(symbols):
                for step, symbol in enumerate(row[start : start + _STEPS].tolist(), start):
                    if symbol < self._table.escape:
                        spread = self._spread(self._table.tokens[symbol], sums[step - start, lane])
                        place = places[lane][step]
                        _replace(found[lane, place : place + len(spread)], spread)
        return found

    def _places(self, symbols: Symbols) -> npt.NDArray[np.int64]:
        """Returns where in the text each symbol begins."""
        lengths = [self._table.num_bytes(symbols[i : i + 1]) for i in range(len(symbols))]
        return np.cumsum([0, *lengths])

    def _cumulative(self, symbols: list[Symbols]) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Yields (first step, probabilities summed up in the order of spellings, (_, B, n + 1))."""
        longest = max(map(len, symbols))
        tokens = np.full((len(symbols), longest + 1), self._bos_id, np.int64)
        for lane, row in enumerate(symbols):
            tokens[lane, 1 : len(row) + 1] = self._table.read_as(row, self._bos_id)
        self._engine.reset()
        for start in range(0, longest, _STEPS):
            logits = torch.from_numpy(
                self._engine.logits(tokens[:, start : min(start + _STEPS, longest)])
            )
            spelled = logits[..., torch.from_numpy(self._spellings.order)]
            sums = torch.softmax(spelled, -1).double().cumsum(-1)
            yield start, F.pad(sums, (1, 0)).numpy()

    def _spread(self, token: bytes, sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Returns the sums of probability over tokens, for each byte of the token that came."""
        bounds = [self._spellings.bounds(token[:i]) for i in range(len(token))]
        return np.diff(sums[np.stack(bounds)], axis=-1)


def _replace(rows: Floats, spread: npt.NDArray[np.float64]) -> None:
    """Writes sums of probability into rows (n, 256), but where they are lost in rounding."""
    totals = spread.sum(-1, keepdims=True)
    is_known = totals[:, 0] > _LEAST
    rows[is_known] = (spread / np.maximum(totals, _LEAST))[is_known]


class DistilledTrainer(Trainer):
    """Trains on the text and on the teacher's probabilities; its figures are those of the text."""

    def __init__(self, config: TrainConfig, out: Path, device: str = "cpu") -> None:
        super().__init__(config, out, device)
        teacher = load_model(TEACHER)
        self._teacher = Teacher(teacher, self.batches.batch_size)
        self.method = {
            "teacher": TEACHER,
            "teacher_fingerprint": teacher.fingerprint.hex(),
            "teacher_share": SHARE,
        }
        self._nats = 0.0

    def _train_step(self, step: int) -> float:
        super()._train_step(step)
        return self._nats

    def _training_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        texts = targets.cpu().numpy().astype(np.uint8)
        taught = torch.from_numpy(self._teacher.probabilities(texts)).to(targets.device)
        logits = self._logits(inputs)
        of_text = F.cross_entropy(logits, targets.flatten())
        self._nats = of_text.item()
        return SHARE * F.cross_entropy(logits, taught.flatten(0, 1)) + (1 - SHARE) * of_text
