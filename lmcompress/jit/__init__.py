"""Compiling kernels with numba: machine code on disk, vector registers, prefetching."""
