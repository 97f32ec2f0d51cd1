"""Experiments: one script per question; each writes records, tables and figures into results/."""
