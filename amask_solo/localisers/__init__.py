"""Localisers: where the object of an image is, for maskers that want to know. None of them is trained."""

from amask_solo.localisers.backbone import BackboneMap, Handover, Shared, lend_backbone, lend_clock, lend_localiser
from amask_solo.localisers.base import Localiser, foreground
from amask_solo.localisers.image import Everywhere, SpectralResidual
from amask_solo.localisers.weights import Weights

__all__ = [
    "BackboneMap",
    "Everywhere",
    "Handover",
    "Localiser",
    "Shared",
    "SpectralResidual",
    "Weights",
    "foreground",
    "lend_backbone",
    "lend_clock",
    "lend_localiser",
]
