"""Where the object of an image is, without labels."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amask_solo._types import Images

Maps = Float[Tensor, "b 1 i j"]
"""One map an image, of any height and width and any scale: higher is more of an object."""

FeatureMaps = Float[Tensor, "b d i j"]
"""What a backbone makes of images, before pooling."""

Look = Callable[[Images], FeatureMaps]
"""A way to look through a backbone without owning it. It keeps no graph and leaves no trace."""

Cells = Bool[Tensor, "b 1 g g"]
"""A grid over each image."""


class Localiser(nn.Module, ABC):
    """Say where in an image its object is. A localiser is never trained."""

    @abstractmethod
    def forward(self, images: Images) -> Maps:
        """Return a map of each image, in single precision and without a graph.

        Args:
            images: A view, normalized; filtered, if the views of the run are.
        """


def foreground(maps: Maps, grid: int, *, slack: float = 0.6) -> Cells:
    r"""Return which cells of a grid show the object.

    With the mean :math:`A` of the map in a cell, and mean and standard deviation of :math:`A` over all cells of the
    image, these are the cells with :math:`A \ge \bar A - s \, \sigma`: the rule of SCDA, relaxed by :math:`s`.

    Args:
        maps: What a localiser found.
        grid: How many rows and columns.
        slack: The :math:`s` above: how many standard deviations below the mean still are foreground.

    Example:
        >>> maps = torch.tensor([[[[9.0, 8.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 0.0]]]])
        >>> foreground(maps, 3).int()[0, 0].tolist()
        [[1, 1, 0], [1, 1, 0], [0, 0, 0]]

    References:
        Chin et al., `Masking Improves Contrastive Self-Supervised Learning for ConvNets, and Saliency Tells You Where
        <https://arxiv.org/abs/2309.12757>`_, WACV 2024, after the poster and the released code, which thresholds each
        row after sorting it: its foreground is right in number and moved to the right in place. Not so here.
        Wei et al., `Selective Convolutional Descriptor Aggregation <https://arxiv.org/abs/1604.04994>`_, 2017.
    """
    cells = F.adaptive_avg_pool2d(maps, grid)
    spread, mean = torch.std_mean(cells, dim=(-2, -1), keepdim=True, correction=0)
    return cells >= mean - slack * spread
