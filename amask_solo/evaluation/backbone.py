"""A frozen backbone as the protocols see it: images to features, or to a map of features."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from amask_solo._types import Images


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
