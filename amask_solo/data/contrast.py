"""Whether there is anything to see in the images as they were decoded."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from amask_solo.data.base import ImageSet, random_sample, sampled
from amask_solo.data.opening import ignored_warnings, opened
from amask_solo.data.reading import Reading
from amask_solo.data.values import read_values
from amask_solo.errors import UserError

LOOKED_AT = 32
"""How many images, random ones, are looked at."""

FLAT = 5
"""Nothing is to be seen where 99 % of the pixels lie within so many levels of 255."""

DARK = 26
"""An image that stays below this level of 255, a tenth, is dark: 12 bits in a file of 16 reach a sixteenth."""

NARROW, MANY = 32, 64
"""Values are lost where so many of a file lie, but for the lowest and the highest, within so few levels of 255."""

READ_AGAIN = 8
"""How many files, random ones, are read again, to compare their values with the levels."""

PIXELS = 2**16  # of an image, at most


def warn_if_flat(images: ImageSet, files: Sequence[Path], reading: Reading) -> None:
    """Say once, with the likely cause, if most images, a channel of them all, or some of many show little."""
    sample = []
    for index in random_sample(len(images), LOOKED_AT).tolist():
        try:
            pixels = images.image(index).flatten(1).float()
            sample.append(pixels[:, :: -(-pixels.shape[1] // PIXELS)])
        except UserError:  # a broken file, which is named when it is needed
            continue
    if len(sample) > 1 and (said := _what_is_flat(torch.stack(sample), files, reading)):
        warnings.warn(said, stacklevel=3)


def _what_is_flat(
    pixels: Float[Tensor, "images channels pixels"], files: Sequence[Path], reading: Reading
) -> str | None:
    count, flat = len(pixels), int((_spread(pixels).amax(dim=1) < FLAT).sum())
    if 2 * flat > count:
        return (
            f"{flat} of {count} images are nearly constant as they were decoded, with levels from "
            f"{int(pixels.min())} to {int(pixels.max())} of 255. Likely, black and white are not those of the files, "
            "since these have a few extreme values or use less than 8 bits. Give data.value_range=[BLACK,WHITE]."
        )
    spread = _spread(pixels.transpose(0, 1).flatten(1)).tolist()
    if empty := [str(number) for number, levels in enumerate(spread, start=1) if levels < FLAT]:
        return (
            f"Channel {', '.join(empty)} of {pixels.shape[1]} is nearly constant in all images as they were decoded. "
            "Likely, a band is empty, or its values are far smaller than those of others; choose by data.bands."
        )
    if not reading.value_range:
        return None
    (black, white), dark = reading.value_range, int((pixels.flatten(1).amax(dim=1) < DARK).sum())
    if 10 * dark >= count:
        return (
            f"{dark} of {count} images are nearly black, as {black:g} became black and {white:g} white, and their "
            "values reach a tenth of that. Likely, files of different depths are mixed, such as 12 and 16 bits; "
            "convert them to one."
        )
    if _lost(files, reading):
        return (
            f"Hardly any values of the images are told apart, as {black:g} became black and {white:g} white. Likely, "
            "extreme values, such as those of missing pixels, are among them. Give data.value_range=[BLACK,WHITE]."
        )
    return None


def _lost(files: Sequence[Path], reading: Reading) -> bool:
    """Tell whether most files have many values, of which few levels are left."""
    lost, some = 0, sampled(files, READ_AGAIN)
    with ignored_warnings():
        for file in some:
            try:
                with opened(file) as image:
                    values = reading.select(read_values(file, image, alpha=reading.bands is not None), file)
            except UserError:
                continue
            known = np.unique(values[np.isfinite(values)])  # sorted
            lost += len(known) >= MANY and int(np.ptp(reading.to_bytes(known[1:-1, None, None], file))) < NARROW
    return 2 * lost > len(some)


def _spread(pixels: Float[Tensor, "*any pixels"]) -> Float[Tensor, "*any"]:
    """Return within how many levels 99 % of the pixels lie; a few extreme ones do not count."""
    low, high = torch.quantile(pixels, torch.tensor([0.005, 0.995]), dim=-1)
    return high - low
