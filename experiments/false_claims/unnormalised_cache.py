"""A cache of two hash tables, read at the token that came alone; collisions fill it.

KIND: rows that sum to hundreds. SEEN IN: Parameter Golf, PRs 886 and 1147.
"""

import numpy as np
from ngram import Predictor as Ngram

BUCKETS = 256


class Predictor(Ngram):
    def reset(self):
        super().reset()
        self.pairs, self.contexts = np.zeros(BUCKETS), np.zeros(BUCKETS)

    def keys(self):
        context = int.from_bytes(self.recent, "little") * 2654435761
        return (context + np.arange(256) * 40503) % BUCKETS, context // 7 % BUCKETS

    def probabilities(self):
        pairs, context = self.keys()
        found = (self.pairs[pairs] + 0.01) / (self.contexts[context] + 0.01)
        return np.maximum(np.minimum(found, 1.0), super().probabilities())

    def push(self, symbol):
        pairs, context = self.keys()
        self.pairs[pairs[symbol]] += 1
        self.contexts[context] += 1
        super().push(symbol)
