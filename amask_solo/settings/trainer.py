"""Checks of the node ``trainer``: for values that do not work here, and for arguments that Lightning does not have."""

from fnmatch import fnmatchcase

from omegaconf import DictConfig

from amask_solo.configuration import check_rules, check_types, target_arguments
from amask_solo.errors import UserError, unknown_key
from amask_solo.rules import AT_LEAST_0, POSITIVE, Rule, is_whole, one_of, or_null, whole

SET_BY_US = frozenset(
    {"max_epochs", "accumulate_grad_batches", "default_root_dir", "logger", "callbacks", "plugins"}
    | {"use_distributed_sampler", "num_sanity_val_steps", "enable_model_summary"}
)
"""Arguments of the trainer that may not be set below ``trainer``."""

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
PRECISIONS = (32, 16, "32", "16", "bf16", "32-true", "16-mixed", "bf16-mixed")
"""Precisions with weights in float32. The views are made outside of Lightning's plugins, also in float32."""

STRATEGIES = ("auto", "single_device", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
SHARDED = "it gives each device a part of the network, and the masker's turn and our checkpoints need it whole"
REFUSED = {
    "ddp_spawn*": "it sends the method to new processes, and a masked method is a class made at run time, which cannot "
    "be sent",
    "fsdp*": SHARDED,
    "deepspeed*": SHARDED,
}
"""Strategies of Lightning that do not work here -> the reason. Other strategies were never tried."""

UNFIT = {
    "overfit_batches": (0, "it needs torch's own loaders; data.max_images=N trains on few images"),
    "barebones": (False, "a run writes its metrics and checkpoints"),
    "fast_dev_run": (False, "it writes neither; max_epochs=1 trainer.limit_train_batches=1 is as short"),
    "enable_checkpointing": (True, "a run writes its checkpoints; save_every=N writes fewer"),
}
"""Arguments that must have Lightning's default -> that, and the reason."""

RULES = {
    "accelerator": or_null(one_of(*ACCELERATORS)),
    "precision": or_null(one_of(*PRECISIONS)),
    "strategy": or_null(one_of(*STRATEGIES)),
    "limit_train_batches": or_null(POSITIVE),
    "gradient_clip_val": or_null(AT_LEAST_0),
    "check_val_every_n_epoch": or_null(whole(1)),
    "devices": or_null(
        Rule(
            "auto, a number of devices (-1 for all), or a list of their numbers",
            lambda value: (
                bool(value) if isinstance(value, str | list) else is_whole(value) and value >= -1 and value != 0
            ),
        )
    ),
}


def check_trainer(trainer: DictConfig) -> None:
    """Raise a ``UserError`` if the accelerator, precision, strategy or devices do not work with this package."""
    strategy = trainer.get("strategy")
    for pattern, reason in REFUSED.items():
        if fnmatchcase(str(strategy), pattern):
            raise UserError(f"trainer.strategy={strategy} does not work here: {reason}. Use trainer=ddp.")
    for key, (default, reason) in UNFIT.items():
        if trainer.get(key) not in (None, default):
            raise UserError(f"trainer.{key}={trainer[key]} does not work here: {reason}. Leave it out.")
    check_rules(trainer, RULES, where="trainer.")


def check_device(trainer: DictConfig) -> None:
    """Raise a ``UserError`` if this machine, which is to run the training, lacks the accelerator; imports torch."""
    import torch

    wanted = trainer.get("accelerator")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    there["gpu"] = any(there.values())
    if not there.get(wanted, True):
        raise UserError(f"trainer.accelerator={wanted}, but torch finds none on this machine; give trainer=cpu.")


def check_arguments(trainer: DictConfig) -> None:
    """Raise a ``UserError`` if Lightning's trainer, which is imported, lacks a key or takes another type of value."""
    takes = target_arguments("lightning.pytorch.Trainer", "trainer")
    for key in trainer:
        if key not in takes.names - SET_BY_US:
            raise unknown_key(str(key), takes.names - SET_BY_US, "trainer")
    check_types(trainer, takes.plain, "trainer")
