"""Exact evaluation on NVIDIA GPUs: Triton kernels, and the engine around them."""
