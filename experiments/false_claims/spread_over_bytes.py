"""The probability of a word that comes, spread evenly over its bytes.

KIND: bytes that know their token. SEEN IN: Parameter Golf, PRs 2098, 1873, 1905.
"""

import numpy as np
from ngram import Predictor as Ngram


class Predictor(Ngram):
    def score(self, symbols):
        rows, raw, start = [], bytes(symbols), 0
        for at, symbol in enumerate(symbols):
            rows.append(self.probabilities())
            self.push(symbol)
            if symbol == 32 or at == len(symbols) - 1:
                word = raw[start : at + 1]
                each = np.prod([row[s] for row, s in zip(rows, word)]) ** (1 / len(word))
                for row, byte in zip(rows, word):
                    mixed = row * min(1.0, (1 - each) / (1 - min(row[byte], 0.999)))
                    mixed[byte] = max(each, row[byte])
                    yield mixed / mixed.sum()
                rows, start = [], at + 1
