"""Exact evaluation on CPUs: numba kernels, and the engines around them."""
