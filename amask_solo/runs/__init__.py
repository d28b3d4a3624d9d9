"""Carry out configurations: pretraining into a run folder, and evaluation of a checkpoint."""
