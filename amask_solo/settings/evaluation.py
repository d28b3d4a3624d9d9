"""What the settings of an evaluation or an export show to be wrong, refused before torch is imported."""

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import check_keys
from amask_solo.errors import UserError
from amask_solo.evaluation import settings
from amask_solo.rules import PATH, SEED, TEXT, Rule, check_values, or_null, several, whole
from amask_solo.settings.architectures import check_arch, check_counterpart, check_format

PROTOCOLS = f"{settings.__package__}."
"""How the targets of this package's own protocols begin; others check themselves when they are built."""

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
EXPORT = {"ckpt": PATH, "path": or_null(PATH), "arch": or_null(TEXT)}


def check_evaluation(cfg: DictConfig) -> None:
    """Check the settings of an evaluation.

    Args:
        cfg: The composed configuration, as in ``configs/evaluate.yaml``.

    Raises:
        UserError: If one is missing, unknown, of the wrong kind or out of range.
    """
    check_keys(cfg, "")
    _check(cfg, EVALUATION)
    if cfg.arch is not None:
        check_arch(cfg.arch)
    if not OmegaConf.is_dict(cfg.get("protocol")) or not cfg.protocol:
        raise UserError("Choose at least one protocol: protocol=[knn,linear].")
    for name in cfg.protocol:
        _check_protocol(OmegaConf.to_container(cfg.protocol, resolve=True)[name], f"protocol.{name}")


def _check_protocol(node: Any, where: str) -> None:
    target = node.get("_target_") if isinstance(node, dict) else None
    if not isinstance(target, str):
        raise UserError(f"{where} is no protocol: it needs a _target_, as the files in configs/protocol have.")
    try:
        settings.check_settings(target.removeprefix(PROTOCOLS), node, f"{where}.")
    except ValueError as error:
        raise UserError(str(error)) from error


def check_export(cfg: DictConfig) -> None:
    """Check the settings of an export.

    Args:
        cfg: The composed configuration, as in ``configs/export.yaml``.

    Raises:
        UserError: If one is missing, unknown, or of the wrong kind, or if two do not go together.
    """
    check_keys(cfg, "")
    check_format(cfg.format)
    _check(cfg, EXPORT)
    if cfg.arch is not None:
        check_counterpart(cfg.arch, cfg.format)


def _check(cfg: DictConfig, rules: Mapping[str, Rule]) -> None:
    try:
        check_values({key: OmegaConf.to_container(cfg, resolve=True)[key] for key in rules}, rules)
    except ValueError as error:
        raise UserError(str(error)) from error
