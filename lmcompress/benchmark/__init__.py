"""Measuring codecs: what is compressed is decompressed, compared and timed."""
