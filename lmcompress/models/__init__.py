"""Models by name, on disk, and those that others have published."""
