"""A mixture that takes, for each token, the expert that was right about it.

KIND: the target in the gate. SEEN IN: Parameter Golf, PRs 1437 and 2140, issue 659.
"""

import numpy as np
from ngram import Predictor as Ngram


class Predictor(Ngram):
    def score(self, symbols):
        for symbol in symbols:
            experts = [self.probabilities(), np.full(256, 1 / 256)]
            for order in range(1, len(self.recent) + 1):
                counts = self.counts.get(self.recent[-order:])
                if counts is not None:
                    experts.append((counts + 1e-3) / (counts + 1e-3).sum())
            yield max(experts, key=lambda row: row[symbol])
            self.push(symbol)
