"""From a configuration to a run folder: pretraining, evaluation, export, and what watches them."""
