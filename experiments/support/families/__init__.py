"""Transformers of several families, as compressors of equal size."""
