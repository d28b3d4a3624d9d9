"""Checks of the settings of an evaluation or an export, before torch is imported."""

import re
from typing import get_args

from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import check_keys
from amask_solo.errors import UserError
from amask_solo.rules import PATH, SEED, TEXT, Rule, one_of, or_null, several, whole
from amask_solo.settings.architectures import Format, check_arch, check_counterpart
from amask_solo.settings.schema import check_rules
from amask_solo.signatures import read_declared

EVALUATION = {
    "ckpt": PATH,
    "arch": or_null(TEXT),
    "output": or_null(PATH),
    "device": Rule(
        "auto, cpu, cuda or cuda:NUMBER",
        lambda value: isinstance(value, str) and re.fullmatch(r"auto|cpu|(cuda|mps|xpu)(:\d+)?", value) is not None,
    ),
    "batch_size": whole(1),
    "seed": SEED,
    "trust": several(TEXT, least=0),
}
EXPORT = {
    "ckpt": PATH,
    "path": or_null(PATH),
    "arch": or_null(TEXT),
    "format": one_of(*get_args(Format)),
    "which": one_of("student", "teacher"),
}


def check_evaluation(cfg: DictConfig) -> None:
    """Check the settings of an evaluation.

    Args:
        cfg: The composed configuration, as in ``configs/evaluate.yaml``.

    Raises:
        UserError: If a setting is missing, unknown, of the wrong kind or out of range.
    """
    check_keys(cfg, "")
    check_rules(cfg, EVALUATION)
    if cfg.arch is not None:
        check_arch(cfg.arch)
    if not OmegaConf.is_dict(cfg.get("protocol")) or not cfg.protocol:
        raise UserError("Choose at least one protocol: protocol=[knn,linear].")
    for name, node in cfg.protocol.items():
        if not OmegaConf.is_dict(node) or "_target_" not in node:
            raise UserError(f"protocol.{name} is no protocol: it needs a _target_, as those in configs/protocol have.")
        check_rules(node, {}, if_there=read_declared(node._target_, "rules"), where=f"protocol.{name}.")


def check_export(cfg: DictConfig) -> None:
    """Check the settings of an export.

    Args:
        cfg: The composed configuration, as in ``configs/export.yaml``.

    Raises:
        UserError: If a setting is missing, unknown, or of the wrong kind, or if two settings do not fit together.
    """
    check_keys(cfg, "")
    check_rules(cfg, EXPORT)
    if cfg.arch is not None:
        check_counterpart(cfg.arch, cfg.format)
