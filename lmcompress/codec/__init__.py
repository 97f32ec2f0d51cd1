"""Compression and decompression: segments and lanes between a predictor and the range coder."""
