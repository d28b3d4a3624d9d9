"""Hide of each image the patches that its own prediction needs most: the worst case without any attacker."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amask_solo._types import Images, OneMask
from amask_solo.errors import UserError
from amask_solo.evaluation.attackers import encode, hide
from amask_solo.evaluation.linear import linear_probe
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.scores import mean_height
from amask_solo.rules import BETWEEN, several, table, whole

Cover = Bool[Tensor, "b patches"]
"""Which patches of each image are hidden, row by row."""

Margin = Float[Tensor, " b"]
"""How far the score of the label is above that of the best other class; below 0 where the prediction is wrong."""


class Greedy(Protocol):
    """Fit a linear classifier on clean images; hide of each image, one by one, the patches that it needs most.

    A grid divides the images. The next patch to be hidden, in the mean color of the data set, is the one without which
    the margin of the true class is smallest. The gradient of the margin chooses the candidates, and each is tried. An
    image counts as right as long as its prediction has stayed right.

    This attack knows the label, works on each image by itself, learns nothing and draws nothing. So it is of another
    kind than the attackers of :class:`~amask_solo.evaluation.Attack`, and a network that was trained against maskers
    alone is not prepared for it. Ours.

    Args:
        areas: The hidden shares of the images, in (0, 1), each rounded to whole patches, at least one.
        grid: The number of patches along a side. They are equally large if it divides the size of the images.
        candidates: The number of patches that are tried for each one that is hidden; ``grid * grid`` tries all.
    """

    needs = ("labels",)
    rules = table(areas=several(BETWEEN), grid=whole(2), candidates=whole(1))
    words = table(acc1_greedy_curve="accuracy while the patches that count most are hidden")
    main = "acc1_greedy_curve"

    def __init__(self, areas: Sequence[float] = (0.05, 0.1, 0.25), *, grid: int = 8, candidates: int = 8) -> None:
        self.areas, self.grid, self.candidates = sorted(areas), grid, candidates

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return the accuracy with each share hidden.

        ``acc1`` on clean images, ``acc1_greedy_area0.1`` with a tenth hidden, and ``acc1_greedy_curve``, the mean while
        the hidden area grows from nothing to the largest (trapezoid rule, at the areas of whole patches).

        Raises:
            UserError: If the patches would be smaller than pixels.
        """
        if self.grid > subject.data.image_size:
            raise UserError(
                f"Expected grid to be at most {subject.data.image_size}, the pixels along a side of a view."
            )
        probe = linear_probe(subject)
        batches = subject.batches(subject.labeled("val"))
        survived = torch.cat(
            [self._survived(subject, probe, subject.view(pixels), labels) for pixels, labels in batches]
        )
        hidden = {"acc1": 0} | {f"acc1_greedy_area{area:g}": self._patches(area) for area in self.areas}
        right = {name: survived >= count for name, count in hidden.items()}
        curve = {count / self.grid**2: right[name] for name, count in hidden.items()}
        subject.right |= right | {"acc1_greedy_curve": mean_height(curve)}
        return {name: 100 * subject.right[name].cpu().double().mean().item() for name in (*hidden, "acc1_greedy_curve")}

    def _patches(self, area: float) -> int:
        return max(1, round(area * self.grid**2))

    @torch.no_grad()
    def _survived(self, subject: Subject, probe: nn.Module, views: Images, labels: Tensor) -> Int[Tensor, " b"]:
        """Return how many hidden patches each image survives, up to those of the largest area; -1 if wrong anyway."""
        right = probe(encode(subject, views)).argmax(dim=1) == labels
        survived, left = right.long() - 1, right.nonzero()[:, 0]
        cover = torch.zeros(len(left), self.grid**2, dtype=torch.bool, device=views.device)
        for count in range(1, self._patches(self.areas[-1]) + 1):
            if not len(left):
                break
            cover, margin = self._hide_one(subject, probe, views[left], labels[left], cover)
            left, cover = left[margin > 0], cover[margin > 0]
            survived[left] = count
        return survived

    def _hide_one(
        self, subject: Subject, probe: nn.Module, views: Images, labels: Tensor, cover: Cover
    ) -> tuple[Cover, Margin]:
        """Return the covers with one more patch, the worst of the candidates, and the margins that it leaves."""

        def margins(shares: Tensor) -> Margin:
            logits = probe(encode(subject, hide(views, self._masks(shares, views))))
            own = F.one_hot(labels, logits.shape[1]).bool()
            return logits[own] - logits.masked_fill(own, -torch.inf).amax(dim=1)

        with torch.enable_grad():
            shares = cover.float().requires_grad_()
            (slope,) = torch.autograd.grad(margins(shares).sum(), shares)
        free = int((~cover[0]).sum())  # as many in every image
        tried = slope.masked_fill(cover, torch.inf).topk(min(self.candidates, free), largest=False).indices
        left = torch.stack([margins(cover.scatter(1, one, value=True).float()) for one in tried.split(1, dim=1)], dim=1)
        margin, best = left.min(dim=1, keepdim=True)
        return cover.scatter(1, tried.gather(1, best), value=True), margin[:, 0]

    def _masks(self, shares: Float[Tensor, "b patches"], views: Images) -> OneMask:
        return F.interpolate(shares.view(-1, 1, self.grid, self.grid), views.shape[-2:], mode="nearest")
