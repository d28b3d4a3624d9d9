"""Fills: what hidden pixels show."""

from amask_solo.fills.base import Fill
from amask_solo.fills.image import Blur, ChannelWise, HighPass
from amask_solo.fills.plain import ImageMean, Noise, Zero

__all__ = ["Blur", "ChannelWise", "Fill", "HighPass", "ImageMean", "Noise", "Zero"]
