"""Segments on the nodes of a Ray cluster: the file that one machine would have made."""
