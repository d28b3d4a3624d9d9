"""A frozen backbone as the protocols see it: images to features, or to a map of features."""

from copy import deepcopy
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from amask_solo._types import Images
from amask_solo.errors import UserError


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
        (last,) = self.model.forward_intermediates(images, indices=1, output_fmt="NCHW", intermediates_only=True)
        return last

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
