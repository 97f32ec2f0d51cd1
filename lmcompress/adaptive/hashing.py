"""The hash that names contexts."""

from __future__ import annotations

from lmcompress.jit.compiler import lean_kernel

_HASH_BITS = (1 << 44) - 1


@lean_kernel
def hash_with(h, value):
    """Returns 44 bits of h and value."""
    h = ((h + value + 1) * 0x2C9277B5) & _HASH_BITS
    return h ^ (h >> 17)
