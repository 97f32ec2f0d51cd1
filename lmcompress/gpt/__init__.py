"""The GPT: its configuration, its float network, and its exact evaluation."""
