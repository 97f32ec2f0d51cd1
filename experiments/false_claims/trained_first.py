"""Ten epochs of training on the text, then its score.

KIND: scored after training. SEEN IN: Parameter Golf, PR 672, issues 402 and 677.
"""

from ngram import Predictor as Ngram


class Predictor(Ngram):
    def score(self, symbols):
        for _ in range(10):
            for symbol in symbols:
                self.push(symbol)
        for symbol in symbols:
            yield self.probabilities()
            self.push(symbol)
