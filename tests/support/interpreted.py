"""Where the Triton kernels are tested: on a GPU, else in Triton's interpreter (see conftest.py)."""

from __future__ import annotations

import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

pytest.importorskip("triton", reason="needs Triton: pip install '.[test]' on Linux x86-64")
