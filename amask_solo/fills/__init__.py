"""Fills: what hidden pixels show."""

from amask_solo.fills.base import Fill
from amask_solo.fills.blur import Blur, HighPass
from amask_solo.fills.channels import ChannelWise
from amask_solo.fills.constant import ImageMean, Zero
from amask_solo.fills.noise import Noise

__all__ = ["Blur", "ChannelWise", "Fill", "HighPass", "ImageMean", "Noise", "Zero"]
