"""Small real image files, each of a kind that users have."""

from pathlib import Path

import numpy as np
from PIL import Image


def noise(height: int = 24, width: int = 24, *, seed: int = 0, channels: int = 3) -> Image.Image:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def plain(color: tuple[int, int, int], *, size: int = 24) -> Image.Image:
    return Image.new("RGB", (size, size), color)


def save(image: Image.Image, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def truncate(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def labeled_tree(root: Path, *, classes: dict[str, int], size: int = 16) -> Path:
    """Write so many images of each class."""
    for number, (name, count) in enumerate(classes.items()):
        for item in range(count):
            save(noise(size, size, seed=1000 * number + item), root / name / f"{item:03}.png")
    return root
