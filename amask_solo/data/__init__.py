"""Image sets as uint8 tensors, and loaders that keep small ones on the device.

What must be known of a set before it is made, its module says itself, in plain values that the commands read in its
source: ``FOLDERS``, the arguments that name a folder of images, ``HOLDS``, what torchvision has in such a folder,
``OBJECTS``, whether there are object masks, ``LABELS = False``, that there are no labels, and ``SCORED_ON``, what
reports call the validation images. Otherwise, one without an argument ``labels`` has labels, and ``labels=none`` says
that there are none. The settings ``root`` and ``holds`` say which paths a published set consists of.
"""

from amask_solo.data.backgrounds import load_imagenet_backgrounds
from amask_solo.data.base import ArrayImages, ImageData, ImageSet, channel_statistics
from amask_solo.data.file_images import FolderImages
from amask_solo.data.file_list import load_file_list
from amask_solo.data.image_folder import load_image_folder
from amask_solo.data.image_masks import load_image_masks
from amask_solo.data.loaders import ResidentLoader, make_loader
from amask_solo.data.marks import MarkedImages, load_marked_folder
from amask_solo.data.published import load_published
from amask_solo.data.shapes import make_shapes
from amask_solo.data.torchvision_sets import load_cifar10, load_cifar100, load_stl10
from amask_solo.data.two_digits import make_two_digits
from amask_solo.data.voc import load_voc

__all__ = [
    "ArrayImages",
    "FolderImages",
    "ImageData",
    "ImageSet",
    "MarkedImages",
    "ResidentLoader",
    "channel_statistics",
    "load_cifar10",
    "load_cifar100",
    "load_file_list",
    "load_image_folder",
    "load_image_masks",
    "load_imagenet_backgrounds",
    "load_marked_folder",
    "load_published",
    "load_stl10",
    "load_voc",
    "make_loader",
    "make_shapes",
    "make_two_digits",
]
