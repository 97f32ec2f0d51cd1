"""Training on what a larger model expects next (distillation: Hinton et al., 2015).

The teacher reads tokens, the student bytes. The teacher's probability of the next byte is the sum
over all tokens that agree with the text since the token's start and with that byte, as the codec
has it (`tokenizer/spelling.py`). That the token has not ended yet is taken as known, as it is in a
tokenized text.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.support.predictions import predictions
from lmcompress.codec.config import CodecConfig
from lmcompress.codec.session import Session
from lmcompress.models.store import Model, load_model
from lmcompress.range_coder import PRECISION_BITS
from lmcompress.training.config import TrainConfig
from lmcompress.training.trainer import Trainer

TEACHER = "smollm2-135m"
SHARE = 0.5
"""Of the loss, how much is against the teacher; the rest is against the text."""

Floats = npt.NDArray[np.float32]


class Teacher:
    """A model of tokens that says how probable each next byte of a text is."""

    def __init__(self, model: Model) -> None:
        """Takes a model of tokens."""
        assert model.weights is not None
        assert model.tokens is not None
        self._table, self._context_length = model.tokens, model.weights.config.context_length
        self._session = Session(model, CodecConfig(device="cpu"))

    def probabilities(self, texts: npt.NDArray[np.uint8]) -> Floats:
        """Returns the probability of each byte at each place of texts (B, T), (B, T, 256).

        At what no token spells, the text's own byte is certain.

        Raises:
          ValueError: If texts are longer than the teacher's context.
        """
        lanes, length = texts.shape
        if length > self._context_length:
            raise ValueError(
                f"texts of {length:,} bytes, a teacher of {self._context_length:,} "
                "tokens: train on shorter sequences"
            )
        found = np.eye(256, dtype=np.float32)[texts]
        rows = self._equally_long(texts)
        is_known = [self._is_spelled(row) for row in rows]
        begins = np.zeros(lanes, np.int64)  # where in its text each lane's next byte is
        for rounds in predictions(self._session, rows.ravel(), lanes):
            for lane in range(lanes):
                mine = np.flatnonzero(rounds.lanes == lane)
                places = begins[lane] + np.arange(len(mine))
                known = is_known[lane][places] & (places < length)
                probabilities = (1 + rounds.freqs[mine[known]]) / (1 << PRECISION_BITS)
                found[lane, places[known]] = probabilities
                begins[lane] += len(mine)
        return found

    def _is_spelled(self, symbols: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Returns whether a token spells each byte of symbols, (bytes,)."""
        return np.repeat(symbols < self._table.escape, self._table.lengths(symbols))

    def _equally_long(self, texts: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        """Returns the symbols of texts (B, T), the last repeated where others have more: (B, _)."""
        rows = [self._session.symbols_of(text.tobytes()) for text in texts]
        longest = max(map(len, rows))
        return np.stack([np.pad(row, (0, longest - len(row)), "edge") for row in rows])


class DistilledTrainer(Trainer):
    """Trains on the text and on the teacher's probabilities; its figures are those of the text."""

    def __init__(self, config: TrainConfig, out: Path, device: str = "cpu") -> None:
        super().__init__(config, out, device)
        teacher = load_model(TEACHER)
        self._teacher = Teacher(teacher)
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
