"""Settings that would fail deep inside the host or Lightning, refused before these are imported, which takes long."""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo.augment.schema import read_recipes
from amask_solo.configuration import check_keys
from amask_solo.errors import UserError, unknown_key
from amask_solo.files import check_image_folder
from amask_solo.hosts.methods import by_name
from amask_solo.hosts.names import OPTIMIZERS, SCHEDULERS, written_backbones, written_methods
from amask_solo.hosts.refusals import check, no_logits, refuse_missing, refuse_only_current
from amask_solo.layout import PREFIX
from amask_solo.rules import AT_LEAST_0, PATH, POSITIVE, SEED, SHARE, SWITCH, TEXT, Rule, or_null, several, whole
from amask_solo.settings.backbone import check_patches, check_sizes, check_stem, patch_side
from amask_solo.settings.method import optimizer_kwargs
from amask_solo.settings.trainer import check_trainer

NODES = ("data", "augmentations", "trainer", "logger", "backbone", "optimizer", "scheduler", "method_kwargs", "loader")
"""Keys below which others stand; of the groups among them one is always chosen."""

RULES = {
    "name": TEXT,
    "run_folder": PATH,
    "base_class": or_null(TEXT),
    "backbone.name": TEXT,
    "seed": SEED,
    "max_epochs": whole(1),
    "accumulate_grad_batches": whole(1),
    # Batch normalization has no variance to divide by in a batch of one.
    "optimizer.batch_size": whole(2),
    "optimizer.lr": AT_LEAST_0,
    "optimizer.classifier_lr": AT_LEAST_0,
    "optimizer.weight_decay": AT_LEAST_0,
    "optimizer.exclude_bias_n_norm_wd": SWITCH,
    "scheduler.warmup_epochs": or_null(AT_LEAST_0),
    "scheduler.warmup_start_lr": AT_LEAST_0,
    "scheduler.min_lr": AT_LEAST_0,
    "knn_eval.enabled": SWITCH,
    "knn_eval.k": whole(1),
    "performance.disable_channel_last": SWITCH,
    "loader.num_workers": whole(0),
    "mask_panels": whole(0),
    "online_knn": whole(0),
    "advantage": whole(0),
    "save_every": whole(1),
    "resume": Rule("true, false or auto", lambda value: SWITCH.holds(value) or value == "auto"),
    "overwrite": SWITCH,
}
RULES_IF_THERE = {
    "data.image_size": Rule(
        "a whole number of at least 1, or auto", lambda value: value == "auto" or whole(1).holds(value)
    ),
    "data.max_images": or_null(whole(1)),
    "data.tune_fraction": Rule("a number from 0 to below 1", lambda value: SHARE.holds(value) and value < 1),
    "method_kwargs.*_dim": whole(1),
    "method_kwargs.queue_size": whole(0),
    "method_kwargs.*_iters": whole(1),
    "method_kwargs.*_epochs": whole(0),
    "method_kwargs.*temperature*": POSITIVE,
    "method_kwargs.*_weight": AT_LEAST_0,
    "method_kwargs.lamb": AT_LEAST_0,
    "method_kwargs.scale_loss": AT_LEAST_0,
    "momentum.*_tau": SHARE,
    "momentum.classifier": SWITCH,
    "view_filter.kernel_size": Rule("an odd whole number", lambda value: whole(1).holds(value) and value % 2 == 1),
    "view_filter.sigma": POSITIVE,
    "adversary.drop_tokens": SWITCH,
    "adversary.optimizer.lr": AT_LEAST_0,
    "adversary.optimizer.weight_decay": AT_LEAST_0,
}
"""Patterns of keys that not every run has; of several that fit, the first counts."""

FOLDERS = frozenset({"train_path", "val_path", "images_path", "masks_path"})
"""Keys of the data that name a folder of images."""

CHOICES = {
    "optimizer.name": tuple(OPTIMIZERS),
    "scheduler.name": SCHEDULERS,
    "scheduler.interval": ("step", "epoch"),
    "knn_eval.distance_func": ("euclidean", "cosine"),
    "loader.device_cache": ("auto", "on", "off"),
    "stem": ("auto", "cifar", "imagenet"),
}


def check_values_and_names(cfg: DictConfig) -> None:
    """Check the settings of a run one by one, and the names in it; this imports nothing heavy.

    Args:
        cfg: The configuration of a run.

    Raises:
        UserError: If a value is missing, of the wrong kind or out of range, if two do not go together, if a folder of
            images is not there, or if the host is not installed or has no such method.
    """
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(f"Missing setting: {' and '.join(f'{key}=...' for key in missing)} must be given.")
    _check_nodes(cfg)
    _check_values(cfg)
    for key in sorted(FOLDERS.intersection(cfg.data)):
        if cfg.data[key] is not None:
            check_image_folder(cfg.data[key], f"data.{key}")
    _check_schedule(cfg)
    optimizer_kwargs(cfg.optimizer)
    _check_host(cfg)
    check_stem(cfg)
    if OmegaConf.select(cfg, "data.image_size") == "auto":
        # Any size will do to check the rest; `pretrain` comes back when the files have been measured.
        _view_sizes(OmegaConf.merge(cfg, {"data": {"image_size": 224}}))
    else:
        check_views(cfg)
    if not cfg.method.startswith(PREFIX):
        if "adversary" in cfg:
            raise UserError(f"method={cfg.method} is not masked, so it has no adversary; choose {PREFIX}{cfg.method}.")
        return
    check_keys(cfg.get("adversary"), "adversary")
    negatives = OmegaConf.select(cfg, "adversary.negatives")
    if negatives and not cfg.base_class and not by_name(cfg.method).contrast:
        raise no_logits(cfg.method)
    check_patches(cfg)


def check_views(cfg: DictConfig) -> None:
    """Check the recipes of the views, and whether these suit the backbone.

    Args:
        cfg: The configuration of a run, whose ``data.image_size`` is a number.

    Raises:
        UserError: If a recipe is wrong, or views are of a size that the backbone does not take.
    """
    check_sizes(cfg.backbone, _view_sizes(cfg))


def _view_sizes(cfg: DictConfig) -> set[int]:
    recipes = read_recipes(OmegaConf.to_container(cfg.augmentations, resolve=True))
    return {recipe.crop_size for recipe in recipes}


def _check_nodes(cfg: DictConfig) -> None:
    for node in NODES:
        if not isinstance(cfg.get(node), DictConfig | ListConfig):
            raise UserError(f"Expected {node} to have keys below it, but got {cfg.get(node)!r}.")
    for node in ("data", "logger", *(["view_filter"] if cfg.get("view_filter") is not None else [])):
        if not isinstance(cfg[node], DictConfig) or "_target_" not in cfg[node]:
            raise UserError(f"{node} has no _target_, which would say what is built of it; see configs/{node}/.")
        check_keys(cfg[node], node)


def _check_values(cfg: DictConfig) -> None:
    for key, rule in _rules(cfg):
        value = OmegaConf.select(cfg, key)
        if not rule.holds(value):
            raise UserError(f"Expected {key} to be {rule.what}, but got {value!r}.")
    for key, known in CHOICES.items():
        if OmegaConf.select(cfg, key) not in known:
            raise unknown_key(str(OmegaConf.select(cfg, key)), known, key, kind="choice")
    check_trainer(cfg.trainer)


def _rules(cfg: DictConfig) -> Iterator[tuple[str, Rule]]:
    """Yield each key that is to be checked, and its rule."""
    yield from RULES.items()
    nodes = ("data", "method_kwargs", "momentum", "view_filter", "adversary", "adversary.optimizer")
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
    if cfg.scheduler.name == "step" and not several(whole(1)).holds(cfg.scheduler.lr_decay_steps):
        raise UserError("scheduler.name=step needs scheduler.lr_decay_steps=[EPOCH,...].")


def _check_host(cfg: DictConfig) -> None:
    """Compare method and backbone with what stands in the source of the host, without importing it."""
    refuse_missing()
    methods, backbones = written_methods(), written_backbones()
    if methods and not cfg.base_class:
        refuse_only_current(cfg.method.removeprefix(PREFIX), methods)
    check(cfg, backbones or [cfg.backbone.name])


def check_adversary(cfg: DictConfig) -> None:
    """Build the adversary of a masked run, for which torch alone is imported.

    Args:
        cfg: The configuration of a run, checked by :func:`check_values_and_names`.

    Raises:
        UserError: If a constructor refuses its arguments, or tokens are to be dropped and the masks do not suit that.
    """
    if not cfg.method.startswith(PREFIX):
        return
    from amask_solo.masked.settings import build_settings
    from amask_solo.masked.tokens import count_hidden

    game = build_settings(cfg).adversary.game
    # A size that is not known yet will be when the method is built, which counts as well.
    if game.drop_tokens and OmegaConf.select(cfg, "data.image_size") != "auto":
        count_hidden(game, patch=patch_side(cfg.backbone), size=max(_view_sizes(cfg)))
