"""Files, folders, downloads and hardware."""
