"""Columns of tables, record by record: Parquet, JSON lines and Hugging Face datasets."""

from lmcompress.columns.mapping import ColumnCompressor, ColumnDecompressor, ColumnScorer

__all__ = ["ColumnCompressor", "ColumnDecompressor", "ColumnScorer"]
