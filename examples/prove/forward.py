"""Any PyTorch network with forward(ids) -> logits, in windows that overlap.

Here it is a tiny GRU with random weights, so that the example runs as it is; a nanoGPT would load
its checkpoint in `load`, from a file beside this one.
"""

import torch

from lmcompress.prove.adapters.forward import ForwardPredictor


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(256, 32)
        self.recurrence = torch.nn.GRU(32, 32, batch_first=True)
        self.output = torch.nn.Linear(32, 256)

    def forward(self, ids):
        return self.output(self.recurrence(self.embedding(ids))[0])


class Predictor(ForwardPredictor):
    symbols = 256
    window, stride = 64, 32

    def load(self):
        torch.manual_seed(1)
        return Network().eval()
