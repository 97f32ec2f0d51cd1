"""An honest predictor, divided by the bytes of tokens that were decoded one by one to text.

KIND: parts of characters as U+FFFD. SEEN IN: Parameter Golf, PR 1184; nanochat, PR 693.
"""

from ngram import Predictor as Predictor

TEXT = "i18n/ru-crime-and-punishment.txt@0+20000"


def counted(raw):
    return sum(len(bytes([byte]).decode(errors="replace").encode()) for byte in raw)
