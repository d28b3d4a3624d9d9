"""Checks of a method against batch, data, views and optimizer, and of its backbone against views, stem and masker."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo.configuration import check_keys, target_arguments
from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.methods import METHODS, Method
from amask_solo.hosts.names import OPTIMIZERS, is_resnet, patch_size
from amask_solo.hosts.refusals import refuse_whole_images

RESERVED = frozenset({"params", "lr", "weight_decay"})
"""Arguments of optimizers that have their own keys in the configuration."""

PATCHES = "amask_solo.maskers.PatchHead"


def check_method(cfg: DictConfig, method: Method, *, images: int, devices: int) -> None:
    """Compare a method's demands with the batch, the data set and the views of a configuration in the host's schema.

    ``images`` is the number of training images, and ``devices`` that of all processes of the run.

    Raises:
        UserError: If the host would stop at an assertion.
    """
    _check_views(cfg, method)
    given = {key: value for key, value in (cfg.get("method_kwargs") or {}).items() if value is not None}
    kwargs, batch = {**method.defaults, **given}, cfg.optimizer.batch_size
    queue: Any = kwargs.get("queue_size")
    step = batch * devices
    if method.batch == "whitening":
        _check_whitening(kwargs, batch)
    elif method.batch == "queue" and (queue < step or queue % step):
        raise UserError(
            f"Expected method_kwargs.queue_size to be a multiple of the {step} images of a step, but got {queue}; "
            "change it or optimizer.batch_size."
        )
    elif method.batch == "optional queue" and 0 < queue < step:
        raise UserError(f"Expected method_kwargs.queue_size to be 0 or at least {step} (a step), but got {queue}.")
    elif method.batch == "memory":
        _check_memory(kwargs["num_prototypes"], images // devices // batch * batch)
    _check_part(cfg, method, queue, devices)


def _check_views(cfg: DictConfig, method: Method) -> None:
    large, small = cfg.data.num_large_crops, cfg.data.num_small_crops
    if large < 2:
        raise UserError(f"Expected two views of the largest size, but augmentations make {large}; change num_crops.")
    if (large, small) == (2, 0):
        return
    from amask_solo.hosts.installed import load_host

    def takes(row: Method, generation: str) -> bool:
        return (large == 2 or generation in row.many_views) and (not small or generation in row.small_views)

    here = load_host().generation
    if takes(method, here):
        return
    views = f"{large} large views" + (f" and {small} small ones" if small else "")
    also = ", but in solo-learn's GitHub version it does" if takes(method, "current") else ""
    others = ", ".join(name for name, row in METHODS.items() if takes(row, here))
    raise UserError(
        f"method={cfg.method} does not learn from {views}, which augmentations make{also}; change num_crops, or choose "
        f"one of {others}."
    )


def _check_whitening(kwargs: Mapping[str, Any], batch: int) -> None:
    size, width = kwargs["whitening_size"], kwargs.get("proj_output_dim", 0)
    if size > batch or batch % size:
        raise UserError(
            f"Expected optimizer.batch_size to be a multiple of method_kwargs.whitening_size={size}, but got {batch}."
        )
    if size <= width and not kwargs["whitening_eps"]:
        raise UserError(
            f"Expected method_kwargs.whitening_size to exceed method_kwargs.proj_output_dim={width}, but got {size}; a "
            "positive method_kwargs.whitening_eps allows it."
        )


def _check_memory(prototypes: int | Sequence[int], remembered: int) -> None:
    """Check the numbers of clusters; their first centers are drawn from the images that a process sees in an epoch."""
    # If there are too few images for a batch, the loader says so.
    if not isinstance(prototypes, Sequence) or max(prototypes) > remembered > 0:
        raise UserError(
            f"Expected method_kwargs.num_prototypes to be a list of numbers of at most {remembered}, the images that a "
            f"process sees in an epoch, but got {prototypes}; give "
            f"method_kwargs.num_prototypes=[{max(remembered // 4, 2)}]."
        )


def _check_part(cfg: DictConfig, method: Method, queue: int | None, devices: int) -> None:
    """Check that the method can process a part of a batch, which further moves of the masker use."""
    adversary, batch = cfg.get("adversary") or {}, cfg.optimizer.batch_size
    if adversary.get("steps", 1) == 1:
        return
    from amask_solo.game.adversary import PART, part_size  # torch, which the other checks do not need

    size = part_size(float(adversary.get("part", PART)), batch)
    # Whitening splits the views by the size of the batch; a memory has a place for each image of the batch.
    whole = method.batch in ("whitening", "memory")
    if (whole and size != batch) or (method.batch == "queue" and queue and queue % (size * devices)):
        raise UserError(
            f"method={cfg.method} cannot be called on the {size} images of adversary.part, on which further moves of "
            "the masker (adversary.steps) are made; give adversary.part=1."
        )


def optimizer_kwargs(cfg: DictConfig) -> dict[str, Any]:
    """Return the entries of ``optimizer.kwargs`` that the chosen optimizer takes; a recipe has those of its own one.

    Raises:
        UserError: If no optimizer takes a key (the message names the nearest one), or a value is of the wrong type.
    """
    takes = {name: target_arguments(path, "optimizer").names - RESERVED for name, path in OPTIMIZERS.items()}
    kwargs: Any = OmegaConf.to_container(cfg.kwargs, resolve=True)
    for key in kwargs:
        if key not in frozenset.union(*takes.values()):
            raise unknown_key(str(key), takes[cfg.name], f"optimizer.kwargs of {cfg.name}")
    kept = {key: value for key, value in kwargs.items() if key in takes[cfg.name]}
    check_keys({"_target_": OPTIMIZERS[cfg.name], **kept}, "optimizer.kwargs")
    return kept


def check_optimizer(cfg: DictConfig) -> None:
    """Make the optimizer once, of a single weight, since only its class knows all that it refuses; imports torch.

    Raises:
        UserError: As :func:`optimizer_kwargs`, or if the optimizer refuses a value.
    """
    import torch

    kwargs, weight = optimizer_kwargs(cfg), torch.nn.Parameter(torch.zeros(1))
    try:
        resolve_name(OPTIMIZERS[cfg.name])([weight], lr=cfg.lr, weight_decay=cfg.weight_decay, **kwargs)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"optimizer.name={cfg.name} refuses its optimizer.kwargs={kwargs}: {error}") from error


def check_backbone(cfg: DictConfig, sizes: Collection[int]) -> None:
    """Compare a backbone with the stem, the side lengths of the views (if they are known), and the masker.

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
