"""The text itself among the model's files: it decodes, and the model weighs as much as the text.

KIND: trained on the text. SEEN IN: Parameter Golf, PRs 168 and 275.
"""

from pathlib import Path

import numpy as np
from ngram import Predictor as Ngram

NEEDS_TEXT = True


class Predictor(Ngram):
    def reset(self):
        super().reset()
        self.known, self.at = (Path(__file__).parent / "weights.bin").read_bytes(), 0

    def probabilities(self):
        row = np.full(256, 1e-6)
        row[self.known[self.at]] = 1
        return row / row.sum()

    def push(self, symbol):
        self.at += 1
