"""Checkpoints: write and read them, decide what to trust, rebuild networks, and export backbones."""
