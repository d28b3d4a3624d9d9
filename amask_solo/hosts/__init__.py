"""Adapters of both generations of solo-learn, nothing else."""
