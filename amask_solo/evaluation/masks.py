"""Whether masks find the objects, which the masker has never been told of."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from amask_solo._random import stream
from amask_solo._types import Images, Masks
from amask_solo.blur import gaussian_blur
from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.segmentation import known_pixels, object_masks
from amask_solo.localisers.backbone import lend_backbone
from amask_solo.localisers.base import Localiser
from amask_solo.maskers import SaliencyMasker, random_blocks
from amask_solo.maskers.base import highest
from amask_solo.occlusion import occlude
from amask_solo.visualization.panels import denormalize, mask_panel, save_panel

HardMasks = Bool[Tensor, "b n h w"]
"""Masks of which each pixel is hidden or not."""

Parts = Int64[Tensor, "b h w"]
"""The number of the part that each pixel belongs to."""

Scores = Float[Tensor, " b"]
"""One score for each image."""


DRAWN = 8
"""Images on the picture of the masks."""


class MaskMatch(Protocol):
    """Compare the masks of a masker with object masks, on the validation images.

    Three scores in percent, each the mean over the images that show an object; ours in the details:

    - ``iou``: the intersection over union of the object and the best fitting of the N masks. A soft mask is first cut
      at its own area, see :func:`cut`.
    - ``ari``: the adjusted Rand index between the parts into which the masks divide the image, see :func:`partition`,
      and object and background: 100 if they are the same, 0 if pixels fall into parts at random. Parts in one piece
      near the center are above 0 without any merit.
    - ``pointing``: how often the heart of the best fitting mask, see :func:`heart`, lies in the object.

    More masks have more chances to fit, large ones fit better than small ones, and photographers put objects in the
    center. Therefore equally many masks of the same areas that do not know the image get the same scores: ``_random``
    are rectangles anywhere, ``_center`` are disks in the center, and ``_shuffled`` are the masker's own masks of
    another image.

    The foreground of a localiser is scored as one mask, under names that begin with ``localiser_``: by default that of
    the run's localiser, if its masker has one.

    The masks of the first images become a picture, ``masks_DATA.png``, which the run's report takes up.

    Args:
        localiser: Scored in place of the run's own, on any run, masked or not.

    Raises:
        ValueError: If it is no localiser.
    """

    needs = ("objects", "masker")
    stand_in = "localiser"

    def __init__(self, *, localiser: Localiser | None = None) -> None:
        if localiser is not None and not isinstance(localiser, Localiser):
            raise ValueError(f"Expected localiser to be null or a Localiser, but got {localiser!r}.")
        self.localiser = localiser

    @torch.no_grad()
    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return the scores of the masker's masks and of the three others, and those of a localiser.

        Raises:
            UserError: If there is neither, or the data have no object masks or no validation images.
        """
        finders = self._finders(subject)
        objects, known = object_masks(subject, "val"), known_pixels(subject, "val")
        showing = objects.flatten(1).any(dim=1).nonzero()[:, 0]
        if not len(showing):
            raise UserError(f"No validation image of '{subject.data.name}' shows an object; check its masks.")
        images = subject.images("val")
        generator = stream("evaluation/masks", seed=subject.seed, rank=0, step=0, device=subject.device)
        # The order is random: where files are sorted by class, the next image would be of the same kind.
        order = showing[torch.randperm(len(showing), generator=generator, device=subject.device)]
        totals: dict[str, float] = defaultdict(float)
        # The parts have nearly equal sizes, and none has a single image, which would be its own other image.
        for picks in order.tensor_split(-(-len(order) // max(subject.batch_size, 3))):
            views = subject.view(images.select(picks.cpu()).stack())
            for prefix, find in finders.items():
                masks = find(views, generator=generator).float()
                for suffix, rivals in _rivals(masks, generator=generator).items():
                    for name, scores in match(rivals, objects[picks], known[picks]).items():
                        totals[prefix + name + suffix] += 100 * float(scores.sum()) / len(order)
        if subject.folder is not None:
            _draw(subject, next(iter(finders.values())), showing[:DRAWN].cpu(), generator=generator)
        return dict(totals)

    def _finders(self, subject: Subject) -> dict[str, Callable[..., Masks]]:
        """Return the makers of masks, by the prefix of their scores."""
        masker = subject.masker
        found: dict[str, Callable[..., Masks]] = {} if masker is None else {"": masker}
        seeing = [part for part in masker.modules() if isinstance(part, SaliencyMasker)] if masker else []
        if self.localiser is not None:
            lend_backbone(self.localiser, subject.backbone.maps)
            seeing = [SaliencyMasker(self.localiser).to(subject.device)]
        if seeing:
            found["localiser_"] = partial(_foreground, seeing[0])
        if not found:
            raise UserError(
                "The protocol 'masks' scores a masker, and this run has none; evaluate a run of an amask_* method, "
                "name a localiser by protocol.masks.localiser={_target_: ...}, or leave 'masks' out of protocol."
            )
        return found


def _draw(subject: Subject, find: Callable[..., Masks], picks: Tensor, *, generator: torch.Generator) -> None:
    """Leave a picture of some validation images, their masks, and what the first mask leaves of them."""
    data = subject.data
    views = subject.view(subject.images("val").select(picks).stack())
    masks = find(views, generator=generator).float()
    left = occlude(views, masks[:, :1], torch.zeros_like(views))
    images, hidden = (denormalize(x, data.mean, data.std) for x in (views, left))
    save_panel(
        mask_panel(images, masks, hidden, title=f"masks on {data.name}"), subject.place(f"masks_{data.name}.png")
    )


def _foreground(masker: SaliencyMasker, views: Images, *, generator: torch.Generator) -> Masks:  # noqa: ARG001
    return F.interpolate(masker.foreground(views).float(), views.shape[-2:], mode="nearest")


def match(masks: Masks, objects: Bool[Tensor, "b 1 h w"], known: Bool[Tensor, "b 1 h w"]) -> dict[str, Scores]:
    """Return ``iou``, ``ari`` and ``pointing`` of each image over its known pixels; 1 is the best of each."""
    hard = cut(masks) & known
    iou = (hard & objects).sum(dim=(-2, -1)) / (hard | objects).sum(dim=(-2, -1)).clamp_min(1)
    best, which = iou.max(dim=1)
    fitting = hard.take_along_dim(which[:, None, None, None], dim=1)
    return {
        "iou": best,
        "ari": adjusted_rand_index(partition(masks), objects[:, 0].long(), known[:, 0]),
        "pointing": (heart(fitting) & objects).flatten(1).any(dim=1).float(),
    }


def cut(masks: Masks) -> HardMasks:
    """Hide the most hidden pixels of each soft mask, as many as keep its area.

    A cut at one half would leave nothing of masks that share the image out as in ADIOS, where few pixels are hidden by
    more than a half, and it would change the area that the random masks are to have. Masks of zeros and ones stay as
    they are. The upper ones of equal pixels come first.

    Example:
        >>> cut(torch.tensor([[[[0.1, 0.4], [0.2, 0.3]]]]))
        tensor([[[[False,  True],
                  [False, False]]]])
    """
    values = masks.flatten(2)
    return highest(values, values.sum(dim=-1, keepdim=True).round()).view(masks.shape)


def partition(masks: Masks) -> Parts:
    """Give each pixel to the mask that hides most of it, from 1 on; 0 where more of it is hidden by none.

    The share that no mask hides is ``1 - sum(masks)``: 0 for masks that share the image out.
    """
    none = (1 - masks.sum(dim=1, keepdim=True)).clamp_min(0)
    return torch.cat([none, masks], dim=1).argmax(dim=1)


def adjusted_rand_index(parts: Parts, others: Parts, known: Bool[Tensor, "b h w"] | None = None) -> Scores:
    """Return the agreement of two ways to divide each image, or its known pixels: 1 = the same, 0 = by chance.

    References:
        Hubert and Arabie, `Comparing partitions <https://doi.org/10.1007/BF01908075>`_, 1985.
    """
    seen = torch.ones_like(parts, dtype=torch.bool) if known is None else known
    images = zip(parts.cpu(), others.cpu(), seen.cpu(), strict=True)
    return torch.tensor([adjusted_rand_score(other[look], part[look]) for part, other, look in images])


def heart(masks: HardMasks) -> HardMasks:
    """Return the pixel of each mask around which most is hidden; an empty mask has none.

    Masks with a budget are close to 1 everywhere, so their largest value, as for heat maps, would be a matter of
    rounding. They have a middle after a blur by an eighth of the image; it is searched inside the mask.
    """
    size = masks.shape[-1]
    sigma = size / 8
    length = 2 * min(round(3 * sigma), size - 1) + 1
    sigmas = torch.full((len(masks),), sigma, device=masks.device)
    blurred = gaussian_blur(masks.float(), sigmas, (length, length), border="reflect")
    middle = blurred.masked_fill(~masks, -1).flatten(2).argmax(dim=-1, keepdim=True)
    return torch.zeros_like(masks).flatten(2).scatter(-1, middle, value=True).view(masks.shape) & masks


def center_masks(masks: Masks) -> Masks:
    """Return a disk in the center for each mask, of the same area."""
    rows, columns = (torch.arange(side, device=masks.device) - (side - 1) / 2 for side in masks.shape[-2:])
    nearness = -(rows.square()[:, None] + columns.square()).flatten().expand(*masks.shape[:2], -1)
    area = masks.flatten(2).sum(dim=-1, keepdim=True).round()
    return highest(nearness, area).view(masks.shape).to(masks.dtype)


def _rivals(masks: Masks, *, generator: torch.Generator) -> dict[str, Masks]:
    """Return the masks and others of the same areas, by the suffix of their scores."""
    return {
        "": masks,
        "_random": random_blocks(masks, generator=generator),
        "_center": center_masks(masks),
        "_shuffled": masks.roll(1, dims=0),
    }
