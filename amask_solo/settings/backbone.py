"""Checks of a backbone against the views, the stem and the masker; those of timm's backbones import timm."""

from collections.abc import Collection, Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo.errors import UserError
from amask_solo.hosts.names import is_resnet, patch_size
from amask_solo.hosts.refusals import refuse_whole_images

PATCHES = "amask_solo.maskers.PatchHead"


def check_backbone(cfg: DictConfig, sizes: Collection[int]) -> None:
    """Compare a backbone with the stem, the views and the masker.

    Args:
        cfg: The configuration of a run.
        sizes: The side lengths of the views; empty if they are not known yet.

    Raises:
        UserError: If the backbone lacks the stem, does not take the views, or has other patches than the masker hides.
    """
    if cfg.stem == "cifar" and not is_resnet(cfg.backbone.name):
        raise UserError(
            f"stem=cifar is for ResNets, and backbone.name={cfg.backbone.name} is none; leave stem out. What a network "
            "does to small images is up to its backbone.kwargs."
        )
    if sizes:
        _check_sizes(cfg.backbone, sizes)
    if OmegaConf.select(cfg, "adversary.drop_tokens"):
        refuse_whole_images(cfg.backbone)
    _check_patches(cfg)


def _check_sizes(backbone: DictConfig, sizes: Collection[int]) -> None:
    patch = patch_side(backbone)
    kwargs, size = backbone.get("kwargs") or {}, max(sizes)
    if patch is None or kwargs.get("dynamic_img_size"):
        return
    own = kwargs.get("img_size", size)
    if set(sizes) != {own}:
        raise UserError(
            f"{backbone.name} takes views of one size, backbone.kwargs.img_size={own}, but augmentations make views of "
            f"{', '.join(map(str, sorted(sizes)))} px; '++backbone.kwargs.dynamic_img_size=true' lifts that."
        )
    if not isinstance(patch, int) or patch < 1 or size % patch:
        raise UserError(
            f"Expected views that are cut into whole patches, but {size} px are no multiple of {patch}; set "
            "++backbone.kwargs.patch_size, or data.image_size."
        )


def _check_patches(cfg: DictConfig) -> None:
    """Compare the patches that the masker hides with the patches of the backbone."""
    own = patch_side(cfg.backbone)
    for head in _nodes(OmegaConf.select(cfg, "adversary.masker"), PATCHES):
        if own is None:
            raise UserError(
                "The masker masks the patches of a vision transformer, but backbone.name="
                f"{cfg.backbone.name} has none; choose masker=sequential or masker=simultaneous, or a ViT."
            )
        if head.get("patch_size", own) != own:
            raise UserError(
                f"Expected adversary.masker.network.patch_size={own}, as the backbone's, but got {head.patch_size}."
            )


def patch_side(backbone: DictConfig) -> Any:
    """Return the patch size of the configured backbone in pixels; ``None`` if it has no patches."""
    default = patch_size(backbone.name)
    return default and (backbone.get("kwargs") or {}).get("patch_size", default)


def _nodes(node: Any, target: str) -> Iterator[DictConfig]:
    """Yield the nodes, at any depth, that have this target."""
    if isinstance(node, DictConfig) and node.get("_target_") == target:
        yield node
    if isinstance(node, DictConfig | ListConfig):
        for child in node if isinstance(node, ListConfig) else node.values():
            yield from _nodes(child, target)
