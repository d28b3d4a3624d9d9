"""Constraints: what the adversary pays for its masks."""

from amask_solo.constraints.base import Constraint, PerMask, WeightedSum
from amask_solo.constraints.masks import AreaEntropy, AreaTarget, Binariness, InverseSine, Overlap, Smoothness
from amask_solo.constraints.shape_prior import ShapePrior

__all__ = [
    "AreaEntropy",
    "AreaTarget",
    "Binariness",
    "Constraint",
    "InverseSine",
    "Overlap",
    "PerMask",
    "ShapePrior",
    "Smoothness",
    "WeightedSum",
]
