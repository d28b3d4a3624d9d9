"""Objects before other backgrounds: pasting by masks, on pixels as they are stored."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from amask_solo.data.base import Labels, ObjectMasks, Pixels

Color = Float[Tensor, "n 3 1 1"]
Partners = Int64[Tensor, " n"]


def mean_background(pixels: Pixels, objects: ObjectMasks) -> Color:
    """Return the mean color of each image around its object, from 0 to 255; of all of it if nothing is around.

    Example:
        >>> pixels = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
        >>> pixels[..., 1] = 90
        >>> objects = torch.tensor([[[[True, False], [False, False]]]])
        >>> mean_background(pixels, objects).flatten()
        tensor([60., 60., 60.])
    """
    around = ~objects | objects.flatten(1).all(dim=1)[:, None, None, None]
    return (pixels * around).sum(dim=(-2, -1), keepdim=True) / around.sum(dim=(-2, -1), keepdim=True)


def remove_objects(pixels: Pixels, objects: ObjectMasks) -> Pixels:
    """Return the images with their objects painted over in the mean color of their backgrounds."""
    return torch.where(objects, _painted(pixels, objects), pixels)


def remove_backgrounds(pixels: Pixels, objects: ObjectMasks) -> Pixels:
    """Return the images with everything but their objects painted over in the mean color of it."""
    return torch.where(objects, pixels, _painted(pixels, objects))


def swap_backgrounds(pixels: Pixels, objects: ObjectMasks, other_pixels: Pixels, other_objects: ObjectMasks) -> Pixels:
    """Paste the objects of some images onto the backgrounds of others.

    The object of the other image does not show: it is painted over in the mean color of its
    background. Every object stays where it was.

    Args:
        pixels: The images with the objects to paste.
        objects: Where these are.
        other_pixels: The images with the backgrounds.
        other_objects: Where the objects are that are to vanish.

    Example:
        >>> black, white = torch.zeros(1, 3, 2, 2, dtype=torch.uint8), torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
        >>> left = torch.tensor([[[[True, False], [True, False]]]])
        >>> swap_backgrounds(black, left, white, ~left)[0, 0]
        tensor([[  0, 255],
                [  0, 255]], dtype=torch.uint8)
    """
    return torch.where(objects, pixels, remove_objects(other_pixels, other_objects))


def _painted(pixels: Pixels, objects: ObjectMasks) -> Pixels:
    return mean_background(pixels, objects).round().to(pixels.dtype).expand_as(pixels)


def draw_partners(labels: Labels, *, same_class: bool, generator: torch.Generator) -> Partners:
    """Draw for each image the index of a random other image, of its own class or of another.

    Within a class, images give their backgrounds to each other in a random ring: each is used once,
    and only the image of a class that has no second one keeps its own.

    Args:
        labels: One class number for each image, on the CPU.
        same_class: Whether the other image is of the same class.
        generator: On the CPU.

    Raises:
        ValueError: If another class is wanted and there is none.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> draw_partners(torch.tensor([0, 1, 0, 1]), same_class=True, generator=generator)
        tensor([2, 3, 0, 1])
    """
    partners = torch.empty_like(labels)
    for name in labels.unique():
        mine, others = (labels == name).nonzero()[:, 0], (labels != name).nonzero()[:, 0]
        if same_class:
            ring = mine[torch.randperm(len(mine), generator=generator)]
            partners[ring] = ring.roll(1)
        elif len(others):
            partners[mine] = others[torch.randint(len(others), (len(mine),), generator=generator)]
        else:
            raise ValueError("Expected images of at least two classes, but got one; there is no other background.")
    return partners
