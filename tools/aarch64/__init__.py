"""Trying lmcompress on an emulated ARM processor: `python -m tools.aarch64`."""
