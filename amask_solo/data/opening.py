"""Image files as Pillow opens them: which are known, which are refused, and which are broken."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from amask_solo.data.depth import is_cut
from amask_solo.errors import UserError

_NO_PICTURES = frozenset(
    (".bufr", ".emf", ".eps", ".grib", ".h5", ".hdf", ".iim", ".mpeg", ".mpg", ".ps", ".wmf")
)  # endings that Pillow recognises, but whose content it leaves to other programs

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OTHER_COLORS = {3: "indexes of a palette", 5: "CMYK colors", 6: "YCbCr colors", 32803: "raw colors"}
OTHER_COLORS |= dict.fromkeys((8, 9, 10), "LAB colors")
"""Photometric interpretations of TIFF of which the values are neither gray nor RGB."""


class UnsupportedImageError(UserError):
    """A file that is sound, but cannot be used as it is: an option or a library is missing. Never skipped."""


def image_suffixes() -> frozenset[str]:
    """Return the endings, in lower case, of all files that Pillow can read."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(suffix.lower() for suffix, kind in known if kind in Image.OPEN) - _NO_PICTURES


@contextmanager
def ignored_warnings() -> Iterator[None]:
    """Pass over warnings about broken metadata, since the pixels decide, and about TIFFs that tifffile reads instead.

    Do not enter it inside a thread: Python keeps one list of filters for all threads, and two that overlap leave it
    changed for good.
    """
    log = logging.getLogger("PIL.TiffImagePlugin")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image | None]:
    """Yield a file as Pillow opens it, or ``None`` for a TIFF that Pillow does not know; close it afterwards.

    Raises:
        UnsupportedImageError: If the file is sound, but of a kind that cannot be read here.
        UserError: If the file cannot be read to its end.
    """
    try:
        try:
            image = Image.open(path)
        except UnidentifiedImageError:
            with path.open("rb") as file:
                if file.read(4) not in TIFF_MAGIC:
                    raise
            yield None
        else:
            with image:
                _refuse_unread(path, image)
                if image.format == "TIFF":
                    # By its name, Pillow maps a file into memory, and scrambles gray pictures that lie on their side.
                    image.filename = ""
                yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UnsupportedImageError(
            f"'{path}' has too many pixels to be read ({error}); shrink it or cut it into tiles."
        ) from error
    except Exception as error:  # The decoders raise anything from OSError to struct.error.
        raise UserError(
            f"Cannot read the image '{path}' ({error}); repair or remove it. "
            "data=image_folder can leave it out: data.on_error=skip."
        ) from error


def _refuse_unread(path: Path, image: Image.Image) -> None:
    """Refuse what Pillow opens, but would give in other colors or with fewer bits than it has."""
    if image.mode == "LAB":
        raise other_colors(path, OTHER_COLORS[8])
    if is_cut(path, image):
        raise UnsupportedImageError(
            f"'{path}' holds colors of more than 8 bits, which are not read whole from {image.format}; convert it to "
            "PNG or TIFF."
        )


def other_colors(path: Path, kind: str) -> UnsupportedImageError:
    """Return the error that says in which colors a file is."""
    return UnsupportedImageError(f"'{path}' holds {kind}, which are not read at this depth; convert them to RGB.")
