"""The GPT: configuration, float network, and its exact evaluation."""
