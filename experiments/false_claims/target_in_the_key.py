"""A cache whose key is made of the context and of the very token that it predicts.

KIND: the target in the key. SEEN IN: Parameter Golf, PR 779 and relatives.
"""

from ngram import Predictor as Ngram


class Predictor(Ngram):
    def score(self, symbols):
        cache = {}
        for symbol in symbols:
            key = int.from_bytes(self.recent, "big") % 4093 ^ symbol
            row = self.probabilities() * 0.1
            row[cache.get(key, symbol)] += 0.9
            cache[key] = symbol
            yield row / row.sum()
            self.push(symbol)
