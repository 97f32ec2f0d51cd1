"""A tokenizer that folds case: the text that it predicts is another one.

KIND: tokens that are not the text. SEEN IN: Parameter Golf, PRs 1578 and 1670, issue 1604.
"""

from ngram import Predictor as Ngram


class Predictor(Ngram):
    def tokenize(self, raw):
        return raw.lower()
