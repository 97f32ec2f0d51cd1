"""Proves a predictor's bits per byte: one process writes a file, a fresh one decodes it.

The parent never imports the predictor and believes three things alone: how long the file is, which
bytes came out of it, and what the kernel saw. Everything else that a process says about itself can
be forged, and only serves to explain.
"""
