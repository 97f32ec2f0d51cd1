"""A delta that is fitted to the targets of the window before they are scored (SLOT).

KIND: fitted to its targets. SEEN IN: Parameter Golf, PRs 1229, 1329, 1430, issue 1336.
"""

import numpy as np
from ngram import Predictor as Ngram

WINDOW = 32


class Predictor(Ngram):
    def score(self, symbols):
        for at, symbol in enumerate(symbols):
            window = symbols[at // WINDOW * WINDOW :][:WINDOW]
            delta = 4.0 * (np.bincount(window, minlength=256) > 0)
            row = self.probabilities() * np.exp(delta)
            yield row / row.sum()
            self.push(symbol)
