"""The adaptive stage: online models that learn from every byte, mixed with a GPT's prediction.

A byte is eight binary decisions, highest bit first. Each is predicted by counters in hashed
contexts (`contexts`), by matches with what came before (`matches`), and by the GPT; a gated linear
mixer weighs them in the logistic domain and adaptive probability maps correct the result
(`mixing`): Mahoney (2005), with the GPT as one more expert. Everything is an integer. All lanes of
a segment share one state: at every bit all lanes are predicted, then all learn, in lane order.
Encoder and decoder make the same calls.
"""

from lmcompress.adaptive.stage import AdaptiveStage

__all__ = ["AdaptiveStage"]
