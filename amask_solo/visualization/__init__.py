"""Tensors and numbers in, pictures out. Pages, in :mod:`~amask_solo.visualization.page`, need more packages."""

from amask_solo.visualization.panels import denormalize

__all__ = ["denormalize"]
