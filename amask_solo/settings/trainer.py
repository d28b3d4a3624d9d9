"""What Lightning's trainer takes, known without importing it, which takes seconds."""

from omegaconf import DictConfig

from amask_solo.configuration import check_keys, target_arguments
from amask_solo.errors import UserError, unknown_key
from amask_solo.rules import Rule, is_whole

TRAINER = "lightning.pytorch.Trainer"
SET_BY_US = frozenset(
    {"max_epochs", "accumulate_grad_batches", "default_root_dir", "logger", "callbacks", "plugins"}
    | {"use_distributed_sampler", "num_sanity_val_steps", "enable_model_summary"}
)
"""Arguments of the trainer that do not stand below ``trainer``."""

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")
PRECISIONS = (32, 16, "32", "16", "bf16", "32-true", "16-mixed", "bf16-mixed")
"""Those in which the weights are in float32, as the views are, which no plugin of Lightning sees being made."""

STARTS = ("", "_spawn", "_fork", "_notebook")
STAGES = ("", "_stage_1", "_stage_2", "_stage_2_offload", "_stage_3", "_stage_3_offload", "_stage_3_offload_nvme")
STRATEGIES = (
    *("auto", "single_device", "single_tpu", "single_xla", "xla", "xla_debug", "fsdp", "fsdp_cpu_offload"),
    *(f"ddp{start}" for start in STARTS),
    *(f"ddp{start}_find_unused_parameters_{found}" for start in STARTS for found in ("false", "true")),
    *(f"deepspeed{stage}" for stage in STAGES),
)
DEVICES = Rule(
    "auto, a number of devices (-1 for all), or a list of their numbers",
    lambda value: is_whole(value) and (value >= 1 or value == -1) if not isinstance(value, str | list) else bool(value),
)


def trainer_arguments() -> set[str]:
    """Return the keys that the node ``trainer`` may have."""
    return set(target_arguments(TRAINER, "trainer").names - SET_BY_US)


def check_trainer(trainer: DictConfig) -> None:
    """Check the node ``trainer``.

    Raises:
        UserError: If it has an unknown key, or a value that Lightning would refuse.
    """
    for key in trainer:
        if key not in trainer_arguments():
            raise unknown_key(str(key), trainer_arguments(), "trainer")
    check_keys({"_target_": TRAINER, **trainer}, "trainer")
    choices = {"accelerator": ACCELERATORS, "precision": PRECISIONS, "strategy": STRATEGIES}
    for key, known in choices.items():
        if (value := trainer.get(key)) is not None and value not in known:
            raise unknown_key(str(value), map(str, known), f"trainer.{key}", kind="choice")
    if (devices := trainer.get("devices")) is not None and not DEVICES.holds(devices):
        raise UserError(f"Expected trainer.devices to be {DEVICES.what}, but got {devices!r}.")
