"""Hard views: ways other than occlusion to make the views of a method harder."""

from amask_solo.hard_views.adversarial_pixels import AdversarialPixels
from amask_solo.hard_views.base import Beside, Chain, HardView
from amask_solo.hard_views.cutmix import Box, CutMix

__all__ = ["AdversarialPixels", "Beside", "Box", "Chain", "CutMix", "HardView"]
