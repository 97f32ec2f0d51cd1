"""Training a GPT, resumable."""
