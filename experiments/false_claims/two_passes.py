"""A first pass notes what follows each context; the second one scores with that.

KIND: a second pass. SEEN IN: Parameter Golf, PRs 846, 870, 888.
"""

from ngram import Predictor as Ngram


class Predictor(Ngram):
    def score(self, symbols):
        follows = {tuple(symbols[at - 6 : at]): symbols[at] for at in range(6, len(symbols))}
        for at, symbol in enumerate(symbols):
            row = self.probabilities() * 0.05
            row[follows.get(tuple(symbols[max(0, at - 6) : at]), symbol)] += 0.95
            yield row
            self.push(symbol)
