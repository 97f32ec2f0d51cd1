"""An n-gram model of bytes that learns as it goes (Witten and Bell, 1991), in 20 lines."""

import numpy as np

ORDER = 3


class Predictor:
    symbols = 256

    def reset(self):
        self.counts, self.recent = {}, b""

    def probabilities(self):
        row = np.full(256, 1 / 256)
        for order in range(len(self.recent) + 1):
            counts = self.counts.get(self.recent[len(self.recent) - order :])
            if counts is not None:
                seen = np.count_nonzero(counts)
                row = (counts + seen * row) / (counts.sum() + seen)
        return row

    def push(self, symbol):
        for order in range(len(self.recent) + 1):
            context = self.recent[len(self.recent) - order :]
            self.counts.setdefault(context, np.zeros(256, np.uint32))[symbol] += 1
        self.recent = (self.recent + bytes([symbol]))[-ORDER:]
