"""Tokens: the bytes that each spells, and text cut into them."""
