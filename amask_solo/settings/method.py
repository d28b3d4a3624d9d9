"""What single methods demand of the batch, the data set, the views and their optimizer."""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import check_keys, target_arguments
from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.names import OPTIMIZERS
from amask_solo.layout import PREFIX

RESERVED = frozenset({"params", "lr", "weight_decay"})
"""Arguments of an optimizer that have a key of their own."""

MANY_VIEWS = frozenset({"byol", "simclr", "supcon", "swav", "wmse"})
"""Methods that take more than two views; the others unpack exactly two."""


def check_method(cfg: DictConfig, *, images: int, devices: int, many_views: bool) -> None:
    """Check what single methods demand of the batch, the data set and the views.

    Args:
        cfg: The configuration in the current host's schema.
        images: How many the training set has.
        devices: All processes of the run.
        many_views: Whether the method may take other than two views, as nobody knows of a user's own.

    Raises:
        UserError: If the host would stop at an assertion.
    """
    _check_views(cfg, many=many_views or cfg.method.removeprefix(PREFIX) in MANY_VIEWS)
    kwargs, batch = cfg.get("method_kwargs") or {}, cfg.optimizer.batch_size
    _check_part(cfg, kwargs, batch, devices)
    rules: dict[str, Callable[[], None]] = {
        "whitening_size": lambda: _check_whitening(kwargs, batch),
        "queue_size": lambda: _check_queue(kwargs, batch, devices),
        "num_prototypes": lambda: _check_prototypes(kwargs, images // devices // batch * batch),
    }
    for key, rule in rules.items():
        if kwargs.get(key) is not None:
            rule()


def _check_part(cfg: DictConfig, kwargs: Mapping[str, Any], batch: int, devices: int) -> None:
    """Check that the method takes the part of a batch that further moves of a masker are made on."""
    adversary = cfg.get("adversary") or {}
    if adversary.get("steps", 1) == 1:
        return
    from amask_solo.game.adversary import PART, part_size  # torch, which the other checks do not need

    size, queue = part_size(float(adversary.get("part", PART)), batch), kwargs.get("queue_size")
    # W-MSE takes views apart by the size of the batch, and a list of prototypes is DeepCluster-v2's, whose memory has
    # a place for each image of it.
    whole = kwargs.get("whitening_size") or OmegaConf.is_list(kwargs.get("num_prototypes"))
    if (size == batch or not whole) and (not queue or "epoch_queue_starts" in kwargs or queue % (size * devices) == 0):
        return
    raise UserError(
        f"method={cfg.method} cannot be called on the {size} images of adversary.part, on which further moves of the "
        "masker (adversary.steps) are made; give adversary.part=1."
    )


def _check_views(cfg: DictConfig, *, many: bool) -> None:
    large, small = cfg.data.num_large_crops, cfg.data.num_small_crops
    if large < 2:
        raise UserError(f"Expected two views of the largest size, but augmentations make {large}; change num_crops.")
    if (large, small) != (2, 0) and not many:
        raise UserError(
            f"method={cfg.method} takes exactly two views, but augmentations make {large + small}; change num_crops, "
            f"or choose one of {', '.join(sorted(MANY_VIEWS))}."
        )


def optimizer_kwargs(cfg: DictConfig) -> dict[str, Any]:
    """Return those of ``optimizer.kwargs`` that the chosen optimizer takes.

    The recipe of a method has those of its own optimizer; with another one they are left out.

    Raises:
        UserError: If no optimizer takes a key, of which it names the nearest one, or a value is of the wrong type.
    """
    takes = {name: target_arguments(path, "optimizer").names - RESERVED for name, path in OPTIMIZERS.items()}
    kwargs = OmegaConf.to_container(cfg.kwargs, resolve=True)
    for key in kwargs:
        if key not in frozenset.union(*takes.values()):
            raise unknown_key(str(key), takes[cfg.name], f"optimizer.kwargs of {cfg.name}")
    kept = {key: value for key, value in kwargs.items() if key in takes[cfg.name]}
    check_keys({"_target_": OPTIMIZERS[cfg.name], **kept}, "optimizer.kwargs")
    return kept


def _check_whitening(kwargs: DictConfig, batch: int) -> None:
    size, width = kwargs.whitening_size, kwargs.get("proj_output_dim", 0)
    if size > batch or batch % size:
        raise UserError(
            f"Expected optimizer.batch_size to be a multiple of method_kwargs.whitening_size={size}, but got {batch}."
        )
    if size <= width and not kwargs.get("whitening_eps"):
        raise UserError(
            f"Expected method_kwargs.whitening_size to exceed method_kwargs.proj_output_dim={width}, but got {size}; a "
            "positive method_kwargs.whitening_eps allows it."
        )


def _check_queue(kwargs: DictConfig, batch: int, devices: int) -> None:
    size = kwargs.queue_size
    step = batch * devices
    if "epoch_queue_starts" in kwargs:  # SwAV's, which may be left out, and need not hold whole batches
        if 0 < size < step:
            raise UserError(f"Expected method_kwargs.queue_size to be 0 or at least {step} (a step), but got {size}.")
    elif size < step or size % step:
        raise UserError(
            f"Expected method_kwargs.queue_size to be a multiple of the {step} images of a step, but got {size}; "
            "change it or optimizer.batch_size."
        )


def _check_prototypes(kwargs: DictConfig, remembered: int) -> None:
    # A list stands for DeepCluster-v2, which draws its first centers from the images of an epoch. Of too few images for
    # a single batch the loader speaks.
    if not remembered or not OmegaConf.is_list(kwargs.num_prototypes) or max(kwargs.num_prototypes) <= remembered:
        return
    raise UserError(
        f"Expected method_kwargs.num_prototypes of at most {remembered}, the images that a process sees in an epoch, "
        f"but got {list(kwargs.num_prototypes)}; give method_kwargs.num_prototypes=[{max(remembered // 4, 2)}]."
    )
