"""Files of more than 8 bits of which Pillow keeps the upper 8 alone, and does not say so."""

import mmap
from pathlib import Path
from typing import Any

_SIZES = b"\xff\x4f\xff\x51"
"""What the sizes in a JPEG 2000 file begin with; its depth lies at a fixed distance behind."""
_DEPTH_AFTER = 42


def has_deep_color(image: Any) -> bool:
    """Tell whether an open file has 16 bits of a color and is of a kind that others read whole, such as PNG."""
    raw_modes = [str(tile[3]) for tile in getattr(image, "tile", ())]
    # BGR;16 has 5, 6 and 5 bits of three colors, together 16.
    return any(";16" in mode and "BGR;16" not in mode for mode in raw_modes)


def is_cut(path: Path, image: Any) -> bool:
    """Tell whether an open file has more than 8 bits of a color and is of a kind that nothing here reads whole."""
    if image.mode[0] in "FI":
        return False
    if image.format == "PPM":
        white = image.tile[0][3]
        return isinstance(white, tuple) and isinstance(white[-1], int) and white[-1] > 255
    if image.format == "SGI":
        # The second one is packed.
        return image.tile[0][0] == "SGI16" or has_deep_color(image)
    return image.format == "JPEG2000" and _bits_of_jpeg2000(path) > 8


def _bits_of_jpeg2000(path: Path) -> int:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_SIZES)
        # The highest bit says that values may be below zero.
        return (content[start + _DEPTH_AFTER] & 0x7F) + 1 if 0 <= start < len(content) - _DEPTH_AFTER else 8
