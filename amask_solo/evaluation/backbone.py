"""A frozen backbone as the protocols see it: images to features, or to a map of features."""

from copy import deepcopy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amask_solo._types import Images
from amask_solo.errors import UserError, one_line
from amask_solo.hosts.architectures import last_map, resample_positions


class Backbone(nn.Module):
    """A backbone without classifier.

    Args:
        model: A model of timm's, made with ``num_classes=0``.

    Attributes:
        num_features: The length of a feature vector.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.num_features: int = model.num_features

    def forward(self, images: Images) -> Float[Tensor, "b d"]:
        """Return one feature vector an image, as the host's heads get it."""
        return self.model(images)

    def maps(self, images: Images) -> Float[Tensor, "b d i j"]:
        """Return the last map of features, before pooling; a ViT's patch tokens on their grid."""
        return last_map(self.model, images)

    def dilated(self) -> "Backbone":
        """Return a copy of a ResNet whose last stage keeps the size of its map, with the same weights.

        Its strides become 1, and the later 3x3 convolutions look twice as far, as in the networks for segmentation of
        Chen et al., `DeepLab <https://arxiv.org/abs/1606.00915>`_; timm builds the same by ``output_stride=16``.

        Raises:
            UserError: If it is no ResNet with strided convolutions.
        """
        copy = deepcopy(self)
        layers = list(copy.model.layer4.modules()) if "layer4" in dict(copy.model.named_children()) else []
        if not layers or any(isinstance(layer, nn.AvgPool2d) for layer in layers):
            raise UserError(f"No last stage of {type(self.model).__name__} can be dilated; set dilated=false.")
        for layer in layers:
            if isinstance(layer, nn.Conv2d) and layer.stride != (1, 1):
                layer.stride = (1, 1)
            elif isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                layer.dilation = layer.padding = (2, 2)
        return copy


def fit_size(backbone: Backbone, image_size: int, channels: int = 3, *, key: str = "data.image_size") -> int | None:
    """Make a backbone take images of a size: the positions of a ViT are resampled, all other backbones are tried.

    The ``key`` is the setting of the size, for the words of the errors.

    Returns:
        The size that the positions were for, if they were resampled.

    Raises:
        UserError: If it takes images of another size alone, or fails on images of this size.
    """
    before = resample_positions(backbone.model, image_size)
    own = getattr(getattr(backbone.model, "patch_embed", None), "img_size", None) or (image_size,)
    if own[0] != image_size:
        raise UserError(
            f"The backbone takes images of {own[0]} px alone, but those of the data have {image_size} px; set "
            f"{key}={own[0]}."
        )
    device = next(backbone.parameters()).device
    try:
        with torch.no_grad():
            backbone(torch.zeros(1, channels, image_size, image_size, device=device))
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"The backbone does not take images of {image_size} px ({one_line(error)}); set "
            f"{key} to the size of the views that it was trained on."
        ) from error
    return before
