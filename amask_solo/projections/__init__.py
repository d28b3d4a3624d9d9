"""Projections: from logits to masks, with hard limits on what the adversary may hide."""

from amask_solo.projections.area import AreaBudget, area_budget
from amask_solo.projections.base import Projection, Sigmoid, Softmax
from amask_solo.projections.combined import Binary, Disjoint, Standardized
from amask_solo.projections.patches import GumbelTopK, Patches

__all__ = [
    "AreaBudget",
    "Binary",
    "Disjoint",
    "GumbelTopK",
    "Patches",
    "Projection",
    "Sigmoid",
    "Softmax",
    "Standardized",
    "area_budget",
]
