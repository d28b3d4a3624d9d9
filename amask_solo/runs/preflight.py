"""Settings that would fail deep inside the host or Lightning, refused before these are imported, which takes long."""

import math
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo.augment.schema import read_recipes
from amask_solo.configuration import check_keys, target_arguments
from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.names import OPTIMIZERS, PREFIX, SCHEDULERS, written_backbones, written_methods
from amask_solo.hosts.refusals import check, refuse_missing, refuse_only_current
from amask_solo.runs.method_demands import optimizer_kwargs


class Rule(NamedTuple):
    """What a value must be, in words and as a test."""

    what: str
    holds: Callable[[Any], bool]


def _whole(least: int) -> Rule:
    return Rule(f"a whole number of at least {least}", lambda value: type(value) is int and value >= least)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


NUMBER = Rule("a number of at least 0", lambda value: value is None or (_is_number(value) and value >= 0))
POSITIVE = Rule("a number above 0", lambda value: _is_number(value) and value > 0)
SHARE = Rule("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
SWITCH = Rule("true or false", lambda value: type(value) is bool)
RULES = {
    "seed": Rule("a whole number from 0 to 2^32 - 1", lambda value: type(value) is int and 0 <= value < 2**32),
    "max_epochs": _whole(1),
    "accumulate_grad_batches": _whole(1),
    # Batch normalization has no variance to divide by in a batch of one.
    "optimizer.batch_size": _whole(2),
    "optimizer.lr": NUMBER,
    "optimizer.classifier_lr": NUMBER,
    "optimizer.weight_decay": NUMBER,
    "optimizer.exclude_bias_n_norm_wd": SWITCH,
    "scheduler.warmup_epochs": NUMBER,
    "scheduler.warmup_start_lr": NUMBER,
    "scheduler.min_lr": NUMBER,
    "knn_eval.enabled": SWITCH,
    "knn_eval.k": _whole(1),
    "performance.disable_channel_last": SWITCH,
    "loader.num_workers": _whole(0),
    "advantage": _whole(0),
    "mask_panels": _whole(0),
    "online_knn": _whole(0),
    "resume": SWITCH,
    "overwrite": SWITCH,
}
RULES_IF_THERE = {
    "method_kwargs.*_dim": _whole(1),
    "method_kwargs.queue_size": _whole(0),
    "method_kwargs.*_iters": _whole(1),
    "method_kwargs.*_epochs": _whole(0),
    "method_kwargs.*temperature*": POSITIVE,
    "method_kwargs.*_weight": NUMBER,
    "method_kwargs.lamb": NUMBER,
    "method_kwargs.scale_loss": NUMBER,
    "momentum.*_tau": SHARE,
    "momentum.classifier": SWITCH,
    "adversary.optimizer.lr": NUMBER,
    "adversary.optimizer.weight_decay": NUMBER,
}
"""Patterns of keys that not every run has; of several that fit, the first counts."""

CHOICES = {
    "optimizer.name": tuple(OPTIMIZERS),
    "scheduler.name": SCHEDULERS,
    "scheduler.interval": ("step", "epoch"),
    "knn_eval.distance_func": ("euclidean", "cosine"),
    "loader.device_cache": ("auto", "on", "off"),
    "stem": ("auto", "cifar", "imagenet"),
}

SET_BY_US = frozenset(
    {"max_epochs", "accumulate_grad_batches", "default_root_dir", "logger", "callbacks", "plugins"}
    | {"use_distributed_sampler", "num_sanity_val_steps", "enable_model_summary"}
)
"""Arguments of the trainer that do not stand below ``trainer``."""

PATCHES = "amask_solo.maskers.PatchHead"
PATCH_SIZE = 16
"""Of the host's ViTs, unless ``backbone.kwargs.patch_size`` says another."""


def trainer_arguments() -> set[str]:
    """Return the keys that the node ``trainer`` may have."""
    return set(target_arguments("lightning.pytorch.Trainer", "trainer").names - SET_BY_US)


def check_settings(cfg: DictConfig) -> None:
    """Check the settings of a run one by one, and build its adversary, for which torch alone is imported.

    Args:
        cfg: The configuration of a run.

    Raises:
        UserError: If a value is missing, of the wrong kind or out of range, if two do not go together, or if the host
            is not installed or has no such method.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"Missing setting: {' and '.join(f'{key}=...' for key in missing)} must be given.")
    _check_values(cfg)
    _check_schedule(cfg)
    optimizer_kwargs(cfg.optimizer)
    if OmegaConf.select(cfg, "data.image_size") == "auto":
        # Any size will do to check the rest; `pretrain` comes back when the files have been measured.
        _view_sizes(OmegaConf.merge(cfg, {"data": {"image_size": 224}}))
    else:
        check_views(cfg)
    _check_host(cfg)
    _check_adversary(cfg)


def check_views(cfg: DictConfig) -> None:
    """Check the recipes of the views, and whether these suit the backbone.

    Args:
        cfg: The configuration of a run, whose ``data.image_size`` is a number.

    Raises:
        UserError: If a recipe is wrong, or views are of a size that the backbone does not take.
    """
    sizes = _view_sizes(cfg)
    if cfg.backbone.name.startswith("vit_"):
        _check_vit(cfg.backbone, sizes)


def _view_sizes(cfg: DictConfig) -> set[int]:
    recipes = read_recipes(OmegaConf.to_container(cfg.augmentations, resolve=True))
    return {recipe.crop_size for recipe in recipes}


def _check_values(cfg: DictConfig) -> None:
    for key, rule in _rules(cfg):
        value = OmegaConf.select(cfg, key)
        if not rule.holds(value):
            raise UserError(f"Expected {key} to be {rule.what}, but got {value!r}.")
    for key, known in CHOICES.items():
        if OmegaConf.select(cfg, key) not in known:
            raise unknown_key(str(OmegaConf.select(cfg, key)), known, key, kind="choice")
    for key in cfg.trainer:
        if key not in trainer_arguments():
            raise unknown_key(str(key), trainer_arguments(), "trainer")
    for node in ("data", "logger"):
        check_keys(cfg[node], node)


def _rules(cfg: DictConfig) -> Iterator[tuple[str, Rule]]:
    """Yield each key that is to be checked, and its rule."""
    yield from RULES.items()
    nodes = ("method_kwargs", "momentum", "adversary.optimizer")
    for key in (f"{node}.{key}" for node in nodes for key in OmegaConf.select(cfg, node) or ()):
        rule = next((rule for pattern, rule in RULES_IF_THERE.items() if fnmatchcase(key, pattern)), None)
        if rule:
            yield key, rule


def _check_schedule(cfg: DictConfig) -> None:
    warmup = cfg.scheduler.warmup_epochs
    if cfg.scheduler.name == "warmup_cosine" and warmup is not None and warmup > cfg.max_epochs:
        raise UserError(
            f"Expected scheduler.warmup_epochs of at most max_epochs={cfg.max_epochs}, but got {warmup}; the learning "
            "rate would never reach optimizer.lr. Shorten the warm-up, or train longer."
        )
    if cfg.scheduler.name == "step" and not OmegaConf.is_list(cfg.scheduler.lr_decay_steps):
        raise UserError("scheduler.name=step needs scheduler.lr_decay_steps=[EPOCH,...].")


def _check_vit(backbone: DictConfig, sizes: set[int]) -> None:
    """Compare the views with what a vision transformer has positions for."""
    kwargs, size = backbone.get("kwargs") or {}, max(sizes)
    patch, own = kwargs.get("patch_size", PATCH_SIZE), kwargs.get("img_size", size)
    if kwargs.get("dynamic_img_size"):
        return
    if sizes != {own}:
        raise UserError(
            f"{backbone.name} takes views of one size, backbone.kwargs.img_size={own}, but augmentations make views of "
            f"{', '.join(map(str, sorted(sizes)))} px; '++backbone.kwargs.dynamic_img_size=true' lifts that."
        )
    if not isinstance(patch, int) or patch < 1 or size % patch:
        raise UserError(
            f"Expected views that are cut into whole patches, but {size} px are no multiple of {patch}; set "
            "++backbone.kwargs.patch_size, or data.image_size."
        )


def _check_host(cfg: DictConfig) -> None:
    """Compare method and backbone with what stands in the source of the host, without importing it."""
    refuse_missing()
    methods, backbones = written_methods(), written_backbones()
    if methods and not cfg.base_class:
        refuse_only_current(cfg.method.removeprefix(PREFIX), methods)
    check(cfg, backbones or [cfg.backbone.name])


def _check_adversary(cfg: DictConfig) -> None:
    if not cfg.method.startswith(PREFIX):
        if "adversary" in cfg:
            raise UserError(f"method={cfg.method} is not masked, so it has no adversary; choose {PREFIX}{cfg.method}.")
        return
    node = cfg.get("adversary")
    check_keys(node, "adversary")
    _check_patches(cfg)
    from amask_solo.masked.settings import build_settings

    build_settings(cfg)


def _check_patches(cfg: DictConfig) -> None:
    """Compare the patches of a masker with those of the backbone, whose grid they are meant to follow."""
    own = (cfg.backbone.get("kwargs") or {}).get("patch_size", PATCH_SIZE)
    for head in _nodes(OmegaConf.select(cfg, "adversary.masker"), PATCHES):
        if not cfg.backbone.name.startswith("vit_"):
            raise UserError(
                "The masker masks the patches of a vision transformer, but backbone.name="
                f"{cfg.backbone.name} has none; choose masker=sequential or masker=simultaneous, or a ViT."
            )
        if head.get("patch_size", own) != own:
            raise UserError(
                f"Expected adversary.masker.network.patch_size={own}, as the backbone's, but got {head.patch_size}."
            )


def _nodes(node: Any, target: str) -> Iterator[DictConfig]:
    """Yield the nodes, at any depth, that describe an object of a class."""
    if isinstance(node, DictConfig) and node.get("_target_") == target:
        yield node
    if isinstance(node, DictConfig | ListConfig):
        for child in node if isinstance(node, ListConfig) else node.values():
            yield from _nodes(child, target)
