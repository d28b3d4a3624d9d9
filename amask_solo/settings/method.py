"""Checks of a method against the batch, the data set, the views and the optimizer."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import check_keys, target_arguments
from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.methods import METHODS, Method
from amask_solo.hosts.names import OPTIMIZERS

RESERVED = frozenset({"params", "lr", "weight_decay"})
"""Arguments of optimizers that have their own keys in the configuration."""


def check_method(cfg: DictConfig, method: Method, *, images: int, devices: int) -> None:
    """Compare a method's demands with the batch, the data set and the views.

    Args:
        cfg: The configuration in the current host's schema.
        method: The facts about the method.
        images: The number of training images.
        devices: The number of all processes of the run.

    Raises:
        UserError: If the host would stop at an assertion.
    """
    _check_views(cfg, method)
    given = {key: value for key, value in (cfg.get("method_kwargs") or {}).items() if value is not None}
    kwargs, batch = {**method.defaults, **given}, cfg.optimizer.batch_size
    match method.batch:
        case "whitening":
            _check_whitening(kwargs, batch)
        case "queue":
            _check_queue(kwargs["queue_size"], batch * devices)
        case "optional queue":
            _check_optional_queue(kwargs["queue_size"], batch * devices)
        case "memory":
            _check_memory(kwargs["num_prototypes"], images // devices // batch * batch)
    _check_part(cfg, method, kwargs.get("queue_size"), devices)


def _check_views(cfg: DictConfig, method: Method) -> None:
    large, small = cfg.data.num_large_crops, cfg.data.num_small_crops
    if large < 2:
        raise UserError(f"Expected two views of the largest size, but augmentations make {large}; change num_crops.")
    if (large, small) != (2, 0) and not method.many_views:
        others = ", ".join(name for name, row in METHODS.items() if row.many_views)
        raise UserError(
            f"method={cfg.method} takes exactly two views, but augmentations make {large + small}; change num_crops, "
            f"or choose one of {others}."
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


def _check_queue(size: int, step: int) -> None:
    if size < step or size % step:
        raise UserError(
            f"Expected method_kwargs.queue_size to be a multiple of the {step} images of a step, but got {size}; "
            "change it or optimizer.batch_size."
        )


def _check_optional_queue(size: int, step: int) -> None:
    """Check a queue that may be absent, and need not hold whole batches."""
    if 0 < size < step:
        raise UserError(f"Expected method_kwargs.queue_size to be 0 or at least {step} (a step), but got {size}.")


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
    """Return the entries of ``optimizer.kwargs`` that the chosen optimizer takes.

    The recipe of a method has entries for its own optimizer, which may be meaningless for another one.

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
