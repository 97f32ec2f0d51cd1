"""What a process of a run trains on: its device, its place among others, its precision."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys

import torch
import torch.distributed as dist

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt (man 3 mallopt)."""


def keep_large_blocks() -> None:
    """Makes glibc keep large freed blocks, because the next step needs them again.

    Otherwise the kernel reclaims them and has to zero every page again, a tenth of a step.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def resolve_precision(precision: str, device: torch.device) -> str:
    """Returns bfloat16 or float32; without hardware support, bfloat16 is 50 times slower."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(False) else "float32"
    has = torch.cpu.get_capabilities()
    return "bfloat16" if has.get("amx_bf16") or has.get("avx512_bf16") else "float32"


def has_compiler() -> bool:
    """Returns whether torch.compile finds a C++ compiler."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)


def device_of_process(device: str) -> torch.device:
    """Returns the device; each of several processes on one machine gets its own GPU."""
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(device)


def join_process_group(device: str) -> tuple[int, int]:
    """Joins the process group if torchrun started this process; returns (rank, world size)."""
    if "RANK" not in os.environ:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group("gloo" if device == "cpu" else "nccl")
    return dist.get_rank(), dist.get_world_size()
