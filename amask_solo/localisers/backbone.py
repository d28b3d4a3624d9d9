"""Localisers that need something of the method that they are part of: its backbone, or its clock."""

from collections.abc import Callable

import torch
from torch import nn

from amask_solo._types import Images
from amask_solo.errors import UserError
from amask_solo.localisers.base import FeatureMaps, Localiser, Look, Maps

Clock = Callable[[], int]
"""Tells the epoch, from 0."""


class BackboneMap(Localiser):
    """Look through the backbone of the method itself: the teacher's, where there is one.

    The method lends it by :func:`lend_backbone`. The backbone is no part of this module, so it is not in its
    ``state_dict``, and the masker's optimizer does not train it. The look costs one forward pass without a graph, in
    evaluation mode, and leaves the backbone as it was.

    Chin et al. take a ResNet-50 that was trained with the labels of ImageNet. The method's own backbone, which needs no
    label, is ours.
    """

    def __init__(self) -> None:
        super().__init__()
        self.look: Look | None = None

    @torch.no_grad()
    def forward(self, images: Images) -> Maps:
        """Return the activation map.

        Raises:
            UserError: If no method has lent its backbone, or if it leaves a single pixel of the images.
        """
        if self.look is None:
            raise UserError(
                "localiser=backbone looks through the backbone of a method, and there is none here; outside of one, "
                "call amask_solo.localisers.lend_backbone, or choose localiser=spectral_residual."
            )
        return activation(self.look(images), images)


def lend_backbone(module: nn.Module, look: Look) -> None:
    """Let every localiser of a module that looks through the method's backbone do so.

    Args:
        module: A masker, or another module that has localisers among its parts.
        look: Makes feature maps of images. A bound method of the lender is copied with it.
    """
    for part in module.modules():
        if isinstance(part, BackboneMap):
            part.look = look


def activation(features: FeatureMaps, images: Images) -> Maps:
    """Return the mean size of the features, those of the last stage for these images, at each place.

    The last stage of a ResNet has no negative features, so this is the activation map of SCDA up to a factor; for
    other backbones, the absolute value is ours.

    Raises:
        UserError: If there is but one place.
    """
    if features.shape[-2:].numel() == 1:
        raise UserError(
            f"The backbone leaves one pixel of views of {images.shape[-1]} px, which is no map of anything. "
            "Give larger data.image_size, or stem=cifar to a ResNet, or choose localiser=spectral_residual."
        )
    return features.float().abs().mean(dim=1, keepdim=True)


class Shared(Localiser):
    """Ask the localiser of the run's masker, so that one choice reaches hard negatives too.

    If the masker has none, the method's own backbone is asked. :func:`lend_localiser` lends it; the lender keeps it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = BackboneMap()
        self.lent: tuple[Localiser, ...] = ()  # a tuple, so that it does not become a part of this module

    def forward(self, images: Images) -> Maps:
        """Return the map of the localiser that is shared."""
        (localiser,) = self.lent or (self.backbone,)
        return localiser(images)


def lend_localiser(module: nn.Module, masker: nn.Module) -> None:
    """Let every :class:`Shared` of a module ask the localiser of a masker, if that has one."""
    found = [part for part in masker.modules() if isinstance(part, Localiser)]
    for part in module.modules():
        if isinstance(part, Shared):
            part.lent = tuple(found[:1])  # the outermost one


class Handover(Localiser):
    """Ask one localiser until another has learned enough to be asked.

    The backbone of a method sees no object in the first epochs, so a localiser that needs no training stands in for it.
    Ours; the localiser of Chin et al. is trained already.

    Args:
        first: Asked in the first epochs.
        then: Asked afterwards, and wherever no epochs are counted, as in an evaluation.
        epochs: How many epochs are the first, at least 0.

    Raises:
        ValueError: If ``epochs`` is negative.
    """

    def __init__(self, first: Localiser, then: Localiser, *, epochs: int) -> None:
        super().__init__()
        if epochs < 0:
            raise ValueError(f"Expected epochs to be 0 or more, but got {epochs}.")
        self.first, self.then, self.epochs = first, then, epochs
        self.clock: Clock | None = None

    def forward(self, images: Images) -> Maps:
        """Return the map of whichever is asked now."""
        early = self.clock is not None and self.clock() < self.epochs
        return (self.first if early else self.then)(images)


def lend_clock(module: nn.Module, clock: Clock) -> None:
    """Let every handover of a module know the epoch.

    Args:
        module: A masker, or another module that has localisers among its parts.
        clock: Tells the epoch. A bound method of the lender is copied with it.
    """
    for part in module.modules():
        if isinstance(part, Handover):
            part.clock = clock
