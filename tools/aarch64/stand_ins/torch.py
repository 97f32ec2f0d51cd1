"""PyTorch does not start under qemu-user 7.2. What is imported from here shows what needs it."""

raise ImportError("this environment has no PyTorch")
