"""What a backbone of the host makes of images before it pools, seen without a trace."""

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
    """Return the last map of features of a backbone, before pooling; a ViT's patch tokens on their grid.

    The backbone is in evaluation mode for it, so that no statistic is written and nothing is drawn, and each layer is
    afterwards in the mode that it was in. Its own ``forward`` is not called: clean views are remembered there.

    Args:
        backbone: Torchvision's ResNets, or what timm can look into, as both generations of the host have them.
        images: Normalized.

    Raises:
        UserError: If it is another kind of backbone.
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
