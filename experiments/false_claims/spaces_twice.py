"""An honest predictor, divided by bytes in which each leading space counts twice.

KIND: bytes counted twice. SEEN IN: Parameter Golf, issue 1719, PR 1734.
"""

from ngram import Predictor as Predictor


def counted(raw):
    return len(raw) + raw.count(b" ")
