"""Models on disk: found by name, loaded, fetched."""
