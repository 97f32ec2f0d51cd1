"""The `.lmc` file as bytes: frames, their headers, and checked reads."""
