"""Build timm's backbones with the interface that the host expects."""

from collections.abc import Collection
from typing import Any

import timm
import torch
from torch import nn

from amask_solo.errors import UserError, one_line
from amask_solo.hosts.blueprint import PRETRAINED, Blueprint
from amask_solo.hosts.names import TIMM, bare, check_timm, is_resnet


def build_backbone(plan: Blueprint) -> nn.Module:
    """Return a network of timm without classifier, on the default device.

    The host builds its heads for ``num_features``. In a few networks of timm (VGG, MobileNet v3, ...) this is not the
    length of the output; ``head_hidden_size`` is, so ``num_features`` is set to it.

    Raises:
        UserError: If timm does not have the network, refuses an argument, or cannot download its weights.
    """
    check_timm(plan.arch)
    # `create_model` would not do: the current host registers broken functions under some of timm's names.
    build, tag = getattr(timm.models, bare(plan.arch)), plan.arch.removeprefix(TIMM).partition(".")[2]
    try:
        model = build(num_classes=0, pretrained_cfg=tag or None, **plan.kwargs)
    except Exception as error:  # whatever timm raises about its arguments, or a download that fails
        if plan.kwargs.get(PRETRAINED):
            raise no_weights(plan.arch, error) from error
        raise UserError(
            f"backbone.kwargs: timm cannot build {plan.arch} with {dict(plan.kwargs)} ({_said(error)})."
        ) from error
    model.num_features = model.head_hidden_size
    return with_small_stem(model) if plan.small_stem and is_resnet(plan.arch) else model


def no_weights(arch: str, error: Exception) -> UserError:
    """Return the error about weights that cannot be downloaded."""
    return UserError(
        f"backbone.kwargs.pretrained=true downloads the weights of {arch}, which failed ({_said(error)}). It needs the "
        "internet, and weights that the library knows of; a file that is here already is read by init=PATH."
    )


def _said(error: Exception) -> str:
    # Some of timm's assertions have no message.
    return f"{type(error).__name__}: {one_line(error)}".rstrip(": ")


def with_small_stem(model: Any) -> nn.Module:
    """Change the stem of a ResNet of torchvision or timm to the host's variant for CIFAR, in place.

    A 7x7 convolution of stride 2 becomes a 3x3 convolution of stride 1, padded by 2 as in the host. A stem of three 3x3
    convolutions, which the host does not have, keeps them and gets stride 1. The pooling is removed in both cases.
    """
    if isinstance(model.conv1, nn.Sequential):
        first: Any = model.conv1[0]
        first.stride = (1, 1)
    else:
        model.conv1 = nn.Conv2d(model.conv1.in_channels, model.conv1.out_channels, 3, padding=2, bias=False)
    model.maxpool = nn.Identity()
    return model


def has_fixed_size(arch: str) -> bool:
    """Return whether a network of timm is built for images of one size, given as ``img_size``."""
    known = timm.models.get_pretrained_cfg(bare(arch))
    return known is not None and known.fixed_input_size


def try_views(plan: Blueprint, sizes: Collection[int]) -> None:
    """Pass square views through a network of timm on the meta device, which is quick.

    Raises:
        UserError: If the network cannot be built, does not take a size, or does not return one vector for each view.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]), torch.no_grad():
        model = build_backbone(plan.untrained).eval()
        for size in sizes:
            try:
                shape = tuple(model(torch.empty(2, plan.kwargs.get("in_chans", 3), size, size)).shape)
            except Exception as error:  # whatever a network does with images that are too small for it
                raise UserError(
                    f"backbone.name={plan.arch} does not take views of {size} px ({_said(error)}); "
                    "change data.image_size, or what backbone.kwargs say about sizes."
                ) from error
            if shape != (2, model.num_features):
                raise UserError(
                    f"backbone.name={plan.arch} makes {shape} of 2 views, not a vector of each; check "
                    "backbone.kwargs, such as global_pool."
                )
