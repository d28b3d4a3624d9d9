"""Constraints: what the adversary pays for its masks."""

from amask_solo.constraints.base import Constraint
from amask_solo.constraints.combined import PerMask, WeightedSum
from amask_solo.constraints.overlap import Overlap
from amask_solo.constraints.shape import Binariness, Smoothness
from amask_solo.constraints.shape_prior import ShapePrior
from amask_solo.constraints.sparsity import AreaTarget, InverseSine

__all__ = [
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
