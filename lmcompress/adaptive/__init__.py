"""The adaptive stage: online models that learn from every byte, mixed with a GPT's prediction.

A byte is eight binary decisions, highest bit first. Each is predicted by counters and runs in
hashed contexts (`text` and `contexts` say what these are, `buckets` where they are kept, `counters`
what they say), by matches with what came before (`matches`), by the orders 0 and 1 and by the GPT
(`low_orders`). Two layers of mixers weigh these in the logistic domain (`mixing`), and adaptive
probability maps correct the result (`maps`): Mahoney (2005), with the GPT as one more expert.
Everything is an integer. All lanes of a segment share one state: at every bit all lanes are
predicted, then all learn, in lane order. Encoder and decoder make the same calls. docs/adaptive.md
defines every number.
"""

from lmcompress.adaptive.stage import AdaptiveStage

__all__ = ["AdaptiveStage"]
