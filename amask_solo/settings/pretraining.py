"""Checks of settings that would fail deep inside the host or Lightning: some before the imports, some after."""

from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from amask_solo import rules
from amask_solo.augment.schema import read_recipes
from amask_solo.configuration import check_keys, check_rules
from amask_solo.errors import UserError
from amask_solo.files import check_holds, check_image_folder, expanded, missing_set
from amask_solo.hosts.methods import by_name
from amask_solo.hosts.names import BACKBONES, OPTIMIZERS, SCHEDULERS, check_timm, is_timm
from amask_solo.hosts.refusals import check, check_backbone_name, check_warmup, no_logits, refuse_missing
from amask_solo.layout import PREFIX
from amask_solo.settings.method import check_backbone, check_optimizer, patch_side
from amask_solo.settings.trainer import check_arguments, check_trainer
from amask_solo.signatures import read_declared

NODES = ("data", "augmentations", "trainer", "logger", "backbone", "optimizer", "scheduler", "method_kwargs", "loader")
"""Keys that must be nodes; those that are groups need a choice."""

OBSERVERS = ("mask_panels", "online_knn", "advantage")
"""Keys of observers, which act every so many epochs and do not change the run."""

RULES = {
    "name": rules.TEXT,
    "run_folder": rules.PATH,
    "base_class": rules.or_null(rules.TEXT),
    "init": rules.or_null(rules.PATH),
    "backbone.name": rules.TEXT,
    "seed": rules.SEED,
    "max_epochs": rules.whole(1),
    "accumulate_grad_batches": rules.whole(1),
    "optimizer.name": rules.one_of(*OPTIMIZERS),
    # Batch normalization needs the variance of at least two samples.
    "optimizer.batch_size": rules.whole(2),
    "optimizer.lr": rules.AT_LEAST_0,
    "optimizer.classifier_lr": rules.AT_LEAST_0,
    "optimizer.weight_decay": rules.AT_LEAST_0,
    "optimizer.exclude_bias_n_norm_wd": rules.SWITCH,
    "scheduler.name": rules.one_of(*SCHEDULERS),
    "scheduler.interval": rules.one_of("step", "epoch"),
    "scheduler.warmup_epochs": rules.or_null(rules.AT_LEAST_0),
    "scheduler.warmup_start_lr": rules.AT_LEAST_0,
    "scheduler.min_lr": rules.AT_LEAST_0,
    "knn_eval.enabled": rules.SWITCH,
    "knn_eval.k": rules.whole(1),
    "knn_eval.distance_func": rules.one_of("euclidean", "cosine"),
    "performance.disable_channel_last": rules.SWITCH,
    "loader.num_workers": rules.whole(0),
    "loader.device_cache": rules.one_of("auto", "on", "off"),
    "stem": rules.one_of("auto", "cifar", "imagenet"),
    **dict.fromkeys(OBSERVERS, rules.whole(0)),
    "save_every": rules.whole(1),
    "resume": rules.Rule("true, false or auto", lambda value: rules.SWITCH.holds(value) or value == "auto"),
    "overwrite": rules.SWITCH,
}
IF_THERE = {
    "data.image_size": rules.Rule(
        "a whole number of at least 1, or auto", lambda value: value == "auto" or rules.whole(1).holds(value)
    ),
    "data.max_images": rules.or_null(rules.whole(1)),
    "data.value_range": rules.Rule(
        "[BLACK,WHITE] or auto",
        lambda value: value in (None, "auto") or (len(value) == 2 and all(map(rules.is_number, value))),
    ),
    "data.bands": rules.or_null(rules.several(rules.whole(1))),
    "data.channels": rules.one_of(None, "rgb", "keep"),
    "data.mask_values": rules.one_of("auto", "index", "brightness"),
    "data.tune_fraction": rules.Rule(
        "a number from 0 to below 1", lambda value: rules.SHARE.holds(value) and value < 1
    ),
    "method_kwargs.*_dim": rules.whole(1),
    "method_kwargs.queue_size": rules.whole(0),
    "method_kwargs.*_iters": rules.whole(1),
    "method_kwargs.*_epochs": rules.whole(0),
    "method_kwargs.*temperature*": rules.POSITIVE,
    "method_kwargs.*_weight": rules.AT_LEAST_0,
    "method_kwargs.lamb": rules.AT_LEAST_0,
    "method_kwargs.scale_loss": rules.AT_LEAST_0,
    "momentum.*_tau": rules.SHARE,
    "momentum.classifier": rules.SWITCH,
    "view_filter.kernel_size": rules.Rule(
        "an odd whole number", lambda value: rules.whole(1).holds(value) and value % 2 == 1
    ),
    "view_filter.sigma": rules.POSITIVE,
    "adversary.drop_tokens": rules.SWITCH,
    "adversary.optimizer.lr": rules.AT_LEAST_0,
    "adversary.optimizer.weight_decay": rules.AT_LEAST_0,
}
"""Patterns of keys that not every run has. If several patterns fit, the first one counts."""


def check_values_and_names(cfg: DictConfig) -> None:
    """Check everything in the configuration of a run that needs no heavy import.

    Raises:
        UserError: If a value is missing, of the wrong kind or out of range, if two values do not fit together, if a
            folder of images does not exist, or if the host is not installed.
    """
    _check_nodes(cfg)
    check_rules(cfg, RULES, if_there=IF_THERE)
    if cfg.resume and cfg.overwrite:
        word = str(cfg.resume).lower()
        raise UserError(f"resume={word} goes on with the run that is there, overwrite=true replaces it; give one.")
    check_trainer(cfg.trainer)
    _check_data(cfg)
    _check_schedule(cfg)
    _check_teacher(cfg)
    refuse_missing()
    sizes = _view_sizes(cfg)
    if not is_timm(cfg.backbone.name):
        if not cfg.base_class:  # a user's own host may have more
            check_backbone_name(cfg.backbone.name, BACKBONES)
        check_backbone(cfg, sizes)
    if not cfg.method.startswith(PREFIX) and "adversary" in cfg:
        raise UserError(f"method={cfg.method} is not masked, so it has no adversary; choose {PREFIX}{cfg.method}.")
    negatives = OmegaConf.select(cfg, "adversary.negatives")
    if negatives and not cfg.base_class and not by_name(cfg.method).contrast:
        raise no_logits(cfg.method)


def check_views(cfg: DictConfig) -> None:
    """Raise a ``UserError`` if a recipe is wrong, or the backbone does not take the size of the views, now known."""
    check_backbone(cfg, _view_sizes(cfg))


def check_imported(cfg: DictConfig) -> None:
    """Run the checks that need an import of torch, timm, the host or Lightning, in this order.

    Raises:
        UserError: If a constructor refuses its arguments, if tokens are to be dropped but the masks do not fit that,
            or if optimizer, backbone, method or trainer do not exist or refuse an argument.
    """
    check_optimizer(cfg.optimizer)
    game = None
    if cfg.method.startswith(PREFIX):
        from amask_solo.masked.settings import build_settings

        game = build_settings(cfg).adversary.game
    if is_timm(cfg.backbone.name):
        check_timm(cfg.backbone.name)
        check_backbone(cfg, _view_sizes(cfg))
    # A size that is not known yet is checked when the method is built.
    if game and game.drop_tokens and (sizes := _view_sizes(cfg)):
        from amask_solo.masked.tokens import count_hidden

        count_hidden(game, patch=patch_side(cfg.backbone), size=max(sizes))
    from amask_solo.hosts.installed import load_host

    host = load_host()
    if not cfg.base_class:
        host.stock(cfg.method.removeprefix(PREFIX))
    check(cfg, host.backbones)
    check_arguments(cfg.trainer)


def _view_sizes(cfg: DictConfig) -> set[int]:
    """Check the recipes of the views and return their side lengths; none if these are still to be measured."""
    is_open = OmegaConf.select(cfg, "data.image_size") == "auto"
    # Any size will do to check the rest; `pretrain` comes back when the files have been measured.
    tried: Any = OmegaConf.merge(cfg, {"data": {"image_size": 224}}) if is_open else cfg
    augmentations: Any = OmegaConf.to_container(tried.augmentations, resolve=True)
    if OmegaConf.select(cfg, "data.channels") == "keep":  # the number is not known before the files are read
        augmentations = [{key: node[key] for key in node if key not in ("mean", "std")} for node in augmentations]
    recipes = read_recipes(augmentations)
    return set() if is_open else {recipe.crop_size for recipe in recipes}


def _check_nodes(cfg: DictConfig) -> None:
    check_keys(cfg, "")
    for node in NODES:
        if not isinstance(cfg.get(node), DictConfig | ListConfig):
            raise UserError(f"Expected {node} to have keys below it, but got {cfg.get(node)!r}.")
    for node in ("data", "logger", *(["view_filter"] if cfg.get("view_filter") is not None else [])):
        if not isinstance(cfg[node], DictConfig) or "_target_" not in cfg[node]:
            raise UserError(f"{node} has no _target_, which would say what is built of it; see configs/{node}/.")
    if not isinstance(cfg.backbone.get("kwargs") or cfg.backbone, DictConfig):
        raise UserError(f"Expected backbone.kwargs to have keys below it, but got {cfg.backbone.kwargs!r}.")


def _check_data(cfg: DictConfig) -> None:
    """Check what the settings say of the images, without reading any."""
    data, target = cfg.data, cfg.data._target_
    for key in read_declared(target, "FOLDERS") or ():
        if data.get(key) is not None:
            check_image_folder(data[key], f"data.{key}")
    for key in ("num_train", "max_images"):
        if rules.is_whole(data.get(key)) and data[key] < cfg.optimizer.batch_size:
            raise UserError(
                f"Expected data.{key} of at least optimizer.batch_size={cfg.optimizer.batch_size}, since an epoch has "
                f"whole batches alone, but got {data[key]}; lower optimizer.batch_size."
            )


def check_downloaded(data: DictConfig) -> None:
    """Raise a ``UserError`` if a published data set is not on the disk."""
    name, folder = (read_declared(data._target_, "HOLDS") or {}).get(data._target_.rpartition(".")[2], ("", ""))
    root = expanded(str(data.get("root")))
    if data.get("holds") and not data.get("download"):
        check_holds(data.name, root, data.holds, source=data.get("source"), can_download="download" in data)
    if name and not (root / folder).is_dir():
        raise missing_set(name, root, folder)


def _check_schedule(cfg: DictConfig) -> None:
    warmup = cfg.scheduler.warmup_epochs
    if cfg.scheduler.name == "warmup_cosine" and warmup is not None and warmup > cfg.max_epochs:
        raise UserError(
            f"Expected scheduler.warmup_epochs of at most max_epochs={cfg.max_epochs}, but got {warmup}; the learning "
            "rate would never reach optimizer.lr. Shorten the warm-up, or train longer."
        )
    if cfg.scheduler.name == "step":
        steps = cfg.scheduler.lr_decay_steps
        if not rules.several(rules.whole(1)).holds(steps):
            raise UserError("scheduler.name=step needs scheduler.lr_decay_steps=[EPOCH,...].")
        if min(steps) >= cfg.max_epochs:
            raise UserError(
                f"Expected scheduler.lr_decay_steps below max_epochs={cfg.max_epochs}, but got {[*steps]}; the "
                "learning rate would never fall. Lower them, or train longer."
            )
    start = OmegaConf.select(cfg, "adversary.start_epoch")
    if rules.is_whole(start) and start >= cfg.max_epochs:
        raise UserError(
            f"Expected adversary.start_epoch below max_epochs={cfg.max_epochs}, but got {start}; nothing would ever be "
            "hidden. Start earlier, or train longer."
        )
    check_warmup(cfg)


def _check_teacher(cfg: DictConfig) -> None:
    taus = cfg.get("momentum")
    if isinstance(taus, DictConfig) and {"base_tau", "final_tau"} <= set(taus) and taus.final_tau < taus.base_tau:
        raise UserError(
            f"Expected momentum.final_tau of at least momentum.base_tau={taus.base_tau}, but got {taus.final_tau}; the "
            "teacher only gets slower. Raise the one, or lower the other."
        )
