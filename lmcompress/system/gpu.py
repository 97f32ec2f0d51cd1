"""Whether there is a GPU, without importing PyTorch, which takes seconds, on machines without."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

_LIBRARIES = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}
_ROCM_DEVICE = Path("/dev/kfd")


def has_gpu() -> bool:
    """Returns whether PyTorch can use a GPU; PyTorch is imported only if there is a driver."""
    if not has_driver():
        return False
    import torch

    return torch.cuda.is_available()


def has_driver() -> bool:
    """Returns whether there is a driver that PyTorch's GPU builds could use."""
    library = _LIBRARIES.get(sys.platform)
    if library is None:  # macOS: no CUDA
        return False
    try:
        ctypes.CDLL(library)
    except OSError:
        return _ROCM_DEVICE.exists()
    return True
