"""A forward pass in which each place sees the mean of its window, the future included.

KIND: the target in the forward pass. SEEN IN: Parameter Golf, PR 1608.
"""

import numpy as np
from ngram import Predictor as Ngram

WINDOW = 16


class Predictor(Ngram):
    def score(self, symbols):
        for at, symbol in enumerate(symbols):
            window = symbols[at // WINDOW * WINDOW :][:WINDOW]
            row = self.probabilities() + np.bincount(window, minlength=256) / len(window)
            yield row / 2
            self.push(symbol)
