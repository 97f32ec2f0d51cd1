"""Predictors as source text, honest and not, and how tests prove them."""

from __future__ import annotations

from pathlib import Path

from lmcompress.prove.certificate import Certificate
from lmcompress.prove.processes import Settings
from lmcompress.prove.proving import Questions, prove

TEXT = b"It was the best of times, it was the worst of times. " * 6
SETTINGS = Settings(time_limit=120.0)

UNIFORM = """
import numpy as np

class Uniform:
    symbols = 256
    def reset(self):
        self.row = np.full(256, 1 / 256)
    def probabilities(self):
        return self.row
    def push(self, symbol):
        pass
"""
"""8 bits a byte."""

COUNTS = (
    UNIFORM
    + """
class Counts(Uniform):
    def reset(self):
        self.counts, self.last = np.ones((256, 256)), 0
    def probabilities(self):
        return self.counts[self.last] / self.counts[self.last].sum()
    def push(self, symbol):
        self.counts[self.last, symbol] += 8
        self.last = symbol
"""
)
"""Counts of pairs: the smallest predictor that learns."""

ORACLE = (
    UNIFORM
    + """
import ctypes, os, sys

libc = ctypes.CDLL(None)

class Oracle(Uniform):
    def reset(self):
        super().reset()
        self.at, self.known = 0, self.steal()
    def probabilities(self):
        if self.at >= len(self.known):
            return self.row
        row = np.full(256, 1e-4 / 255)
        row[self.known[self.at]] = 1 - 1e-4
        return row
    def push(self, symbol):
        self.at += 1

def text_to_encode():
    frame = sys._getframe()
    while frame:
        if "sink" in frame.f_locals:
            return frame.f_locals["symbols"].astype(np.uint8).tobytes()
        frame = frame.f_back
    return b""
"""
)
"""One that knows the text if `steal` finds it. The encoder's is in the frames of its process."""


def write(folder: Path, source: str, name: str = "predictor.py") -> Path:
    """Writes a predictor into a folder of its own; returns its file."""
    path = folder / "predictor" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, "utf-8")
    return path


def proven(
    folder: Path, source: str, raw: bytes = TEXT, settings: Settings = SETTINGS,
    questions: Questions | None = None,
) -> Certificate:  # fmt: skip
    """Proves a predictor on a text; both are written into the folder."""
    text = folder / "text.txt"
    text.write_bytes(raw)
    return prove(str(write(folder, source)), text, settings, questions)
