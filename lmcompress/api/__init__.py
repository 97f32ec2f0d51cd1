"""The Python interface; `lmcompress` exports its names."""
