"""Leave hidden patches out of a vision transformer instead of painting over them, so that it computes fewer tokens.

A masked view carries its mask along as a fourth channel. A hook on ``patch_embed`` removes it, and the hidden patches
are dropped after the positions are added. Views without a mask pass unchanged, so the features of clean views are the
same bit for bit, and momentum teachers need no special treatment.

The masker learns from a weight of 1 on every kept patch, in each attention and in the mean over patches if there is
one. The gradient of the mask at a kept patch is, to first order, the change of the loss if that patch were dropped as
well. A dropped patch is not computed and gives no gradient; its score only moves as far as the projection ties it to
the others.

This is ours. Earlier methods dropped patches of one view of a Siamese method at random.

References:
    He et al., `Masked Autoencoders Are Scalable Vision Learners <https://arxiv.org/abs/2111.06377>`_, CVPR 2022;
    Assran et al., `Masked Siamese Networks for Label-Efficient Learning <https://arxiv.org/abs/2204.07141>`_, ECCV
    2022.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional as F

from amask_solo._types import Images
from amask_solo.errors import UserError
from amask_solo.game.game import Game
from amask_solo.hosts.refusals import refuse_whole_images
from amask_solo.localisers.backbone import lend_backbone
from amask_solo.occlusion import Carrier, carried, pixels

Tokens = Float[Tensor, "b tokens d"]
"""The class token and other prefix tokens, then one token for each patch."""

TRIES, IMAGES = 8, 4
"""The number of random weights that a masker is tried with, and the number of images for each."""


class TokenDrop:
    """Hooks on a network, a ``VisionTransformer`` of timm, that drop the patches of each view that its mask hides most.

    The same number of patches, ``hidden``, is dropped in each image, so nothing waits for the device.
    """

    def __init__(self, network: Any, *, hidden: int) -> None:
        self.prefix, self.hidden = network.num_prefix_tokens, hidden
        self.mean = network.global_pool == "avg"
        self.kept: Int[Tensor, "b kept"] | None = None
        self.logs: Float[Tensor, "b tokens"] | None = None
        network.patch_embed.register_forward_pre_hook(self._take_mask_off)
        network.patch_drop.register_forward_pre_hook(self._leave_out)
        for block in network.blocks:
            block.register_forward_pre_hook(self._weigh, with_kwargs=True)
        network.norm.register_forward_hook(self._end)

    def _take_mask_off(self, embed: Any, args: tuple[Carrier]) -> tuple[Images] | None:
        mask = carried(*args)
        self.kept = self.logs = None
        if mask is None:
            return None
        shares = F.avg_pool2d(mask, embed.patch_size).flatten(1)
        self.kept = shares.argsort(dim=1, stable=True)[:, : shares.shape[1] - self.hidden]
        if shares.requires_grad:
            visible = -shares.gather(1, self.kept)
            # The logarithm of a weight of 1, with the gradient of 1 - mask.
            self.logs = F.pad(visible - visible.detach(), (self.prefix, 0))
        return (pixels(*args).detach(),)  # what is painted is not seen, so the masker learns nothing from it

    def _leave_out(self, _: nn.Module, args: tuple[Tokens]) -> tuple[Float[Tensor, "b left d"]] | None:
        if self.kept is None:
            return None
        prefix, patches = args[0].tensor_split([self.prefix], dim=1)
        places = self.kept.unsqueeze(-1).expand(-1, -1, patches.shape[-1])
        return (torch.cat([prefix, patches.gather(1, places)], dim=1),)

    def _weigh(self, _: nn.Module, args: tuple[Tokens], kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        return args, kwargs if self.logs is None else kwargs | {"attn_mask": self.logs[:, None, None, :]}

    def _end(self, _: nn.Module, args: tuple[Tokens], tokens: Tokens) -> Tokens:  # noqa: ARG002
        logs, self.kept, self.logs = self.logs, None, None
        if logs is None or not self.mean:
            return tokens
        # The gradient of a weighted mean of the patches, with respect to the logarithm of a weight.
        return tokens + logs.unsqueeze(-1) * (tokens - tokens[:, self.prefix :].mean(dim=1, keepdim=True))


def drop_tokens(game: Game, networks: Iterable[nn.Module], backbone: DictConfig) -> None:
    """Make networks, the backbone and its teacher, drop the patches that the game hides.

    Raises:
        UserError: If the networks cannot drop patches, or the masks do not fit; see :func:`count_hidden`.
    """
    refuse_whole_images(backbone)
    networks = list(networks)
    embed: Any = networks[0].patch_embed
    hidden = count_hidden(game, patch=embed.patch_size[0], size=embed.img_size[0])
    for network in networks:
        TokenDrop(network, hidden=hidden)


@torch.no_grad()
def count_hidden(game: Game, *, patch: int, size: int) -> int:
    """Return the number of patches that each mask hides, which must not depend on the image or on learned weights.

    The masker is tried on noise with random weights; its own weights are not changed. A localiser that uses the
    method's backbone gets noise in its place, so the method must give it the backbone after this. The sides of the
    backbone's patches and of the views, ``patch`` and ``size``, are in pixels.

    Raises:
        UserError: If masks are soft, not made of whole patches, or of unequal size, or hide nothing or everything; or
            if there is a fill, which would not be visible.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, size, size, generator=generator)
    if game.fill(images, generator=generator).any():
        raise UserError("adversary.drop_tokens leaves hidden patches out, so no fill shows; leave adversary.fill out.")
    lend_backbone(game, lambda views: torch.randn(len(views), 8, 7, 7, generator=generator))
    counts: set[int] = set()
    for _ in range(TRIES):
        state = {name: buffer.clone() for name, buffer in game.masker.named_buffers()}
        weights = game.masker.named_parameters()
        state |= {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in weights}
        masks = torch.func.functional_call(game.masker, state, (images,), {"generator": generator})
        if not ((masks == 0) | (masks == 1)).all():
            raise UserError(
                "adversary.drop_tokens needs masks of zeros and ones, but these hide some pixels in part; choose "
                "masker=gumbel_patches, or put the projection into amask_solo.projections.Binary."
            )
        patches = F.avg_pool2d(masks, patch)
        if not torch.equal(F.interpolate(patches, scale_factor=patch), masks):
            raise UserError(
                f"adversary.drop_tokens needs masks of whole patches of the backbone, of {patch} px in views of {size} "
                "px, but these hide parts of some; change the masker's patch, or backbone.kwargs.patch_size."
            )
        counts.update(patches.sum(dim=(-2, -1)).flatten().int().tolist())
    if len(counts) > 1 or counts & {0, patches[0, 0].numel()}:
        raise UserError(
            "adversary.drop_tokens needs masks that all hide equally many patches, some but not all, but these hide "
            f"{min(counts)} to {max(counts)} of {patches[0, 0].numel()}; give all masks one area, of whole patches."
        )
    return counts.pop()
