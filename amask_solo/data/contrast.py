"""Whether there is anything to see in the images as they were decoded."""

import warnings

import torch

from amask_solo.data.base import ImageSet
from amask_solo.errors import UserError

LOOKED_AT = 32
"""How many images, evenly spread, are looked at."""

FLAT = 2.5
"""Below this standard deviation, in levels of 255, nothing is to be seen."""


def warn_if_flat(images: ImageSet) -> None:
    """Say once if most images, or a channel of them all, are nearly constant, with the likely cause.

    Args:
        images: The training set.
    """
    sample = []
    for index in range(0, len(images), -(-len(images) // LOOKED_AT)):
        try:
            sample.append(images.image(index).flatten(1).float())
        except UserError:  # a broken file, which is named when it is needed
            continue
    if len(sample) < 2:
        return
    pixels = torch.stack(sample)  # (n, channels, pixels)
    low, high = int(pixels.min()), int(pixels.max())
    flat = int((pixels.std(dim=2).amax(dim=1) < FLAT).sum())
    if 2 * flat > len(sample):
        warnings.warn(
            f"{flat} of {len(sample)} images are nearly constant as they were decoded, with levels from {low} to {high}"
            " of 255. Likely, black and white are not those of the files, since these have a few extreme values or use "
            "less than 8 bits. Give data.value_range=[BLACK,WHITE].",
            stacklevel=3,
        )
        return
    spread = pixels.transpose(0, 1).flatten(1).std(dim=1)
    if empty := [str(number) for number, std in enumerate(spread.tolist(), start=1) if std < FLAT]:
        warnings.warn(
            f"Channel {', '.join(empty)} of {images.channels} is nearly constant in all images as they were decoded. "
            "Likely, a band is empty, or its values are far smaller than those of others; choose by data.bands.",
            stacklevel=3,
        )
