"""The feature maps of the host's backbones before pooling, computed without side effects."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchvision.models import ResNet

from amask_solo._modes import evaluating
from amask_solo._types import Images
from amask_solo.errors import UserError


@torch.no_grad()
def feature_map(backbone: Any, images: Images) -> Float[Tensor, "b d i j"]:
    """Return the last feature map before pooling; for a ViT, the patch tokens on their grid.

    The backbone runs in evaluation mode, so that it writes no statistics and draws no numbers. Its own ``forward`` is
    not called, because that one remembers clean views.

    Args:
        backbone: A ResNet of torchvision, or a network of timm with ``forward_intermediates``.
        images: Normalized images.

    Raises:
        UserError: If the backbone is of another kind.
    """
    with evaluating(backbone):
        if isinstance(backbone, ResNet):
            return _before_pooling(backbone, images)
        if hasattr(backbone, "forward_intermediates"):
            (last,) = backbone.forward_intermediates(images, indices=1, output_fmt="NCHW", intermediates_only=True)
            return last
    raise UserError(
        f"The backbone {type(backbone).__name__} shows no map of features, only ResNets, ViTs, Swins and ConvNeXts do; "
        "choose one of them, or localiser=spectral_residual."
    )


def _before_pooling(backbone: ResNet, images: Images) -> Tensor:
    for name, layer in backbone.named_children():
        if name == "avgpool":
            break
        images = layer(images)
    return images
