"""Checks of the settings of an evaluation, an export, or the protocols of a comparison, before torch is imported."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

from omegaconf import DictConfig, OmegaConf

from amask_solo.configuration import check_keys, check_rules
from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.names import RESNETS, TIMM_NAMES, is_timm
from amask_solo.rules import PATH, SEED, TEXT, Rule, one_of, or_null, several, whole
from amask_solo.signatures import read_arguments, read_declared

Format = Literal["torchvision", "timm", "safetensors", "onnx", "detectron2"]
COUNTERPARTS = {"torchvision": RESNETS, "timm": tuple(TIMM_NAMES), "detectron2": RESNETS}
"""Format -> the host's backbones that the library of this name has. The other formats take any backbone."""

EVALUATION = {
    "ckpt": PATH,
    "arch": or_null(TEXT),
    "which": one_of("student", "teacher"),
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
    "format": one_of("auto", *get_args(Format)),
    "which": one_of("student", "teacher"),
    "image_size": or_null(whole(1)),
}


def check_evaluation(cfg: DictConfig) -> None:
    """Check the settings of an evaluation, as in ``configs/evaluate.yaml``.

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
    """Check the settings of an export, as in ``configs/export.yaml``.

    Raises:
        UserError: If a setting is missing, unknown, or of the wrong kind, or if two settings do not fit together.
    """
    check_keys(cfg, "")
    check_rules(cfg, EXPORT)
    if cfg.arch is not None:
        check_counterpart(cfg.arch, "timm" if cfg.format == "auto" else cfg.format)  # timm has all that torchvision has


def check_arch(arch: str) -> None:
    """Raise a ``UserError`` about an unknown backbone of the host; timm checks its own names when it builds them."""
    if not is_timm(arch) and arch not in TIMM_NAMES:
        raise unknown_key(arch, TIMM_NAMES, "arch", kind="choice")


def check_format(name: object) -> None:
    """Raise a ``UserError`` about an unknown format of an export."""
    if name not in get_args(Format):
        raise unknown_key(str(name), get_args(Format), "format", kind="choice")


def fitting_format(arch: str) -> Format:
    """Return the first of torchvision, timm and safetensors that has a backbone.

    Example:
        >>> fitting_format("resnet18"), fitting_format("timm/convnext_atto"), fitting_format("unknown")
        ('torchvision', 'timm', 'safetensors')
    """
    if arch in COUNTERPARTS["torchvision"]:
        return "torchvision"
    return "timm" if is_timm(arch) or arch in COUNTERPARTS["timm"] else "safetensors"


def check_counterpart(arch: str | None, target: Format) -> None:
    """Raise a ``UserError`` that names a format that fits, if the library of a format does not have the backbone."""
    known, of_timm = COUNTERPARTS.get(target), arch is not None and is_timm(arch)
    if known is not None and arch not in known and not (of_timm and target == "timm"):
        other = "timm or format=safetensors" if of_timm or arch in TIMM_NAMES else "safetensors"
        raise UserError(
            f"{target} has no counterpart of the backbone '{arch or 'unknown'}', only of "
            f"{', '.join(known)}. Use format={other}."
        )


def same_for_all(protocols: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of protocols, with defaults for the values that each declares to be shared by all runs.

    An example is the area of an attack. By default it is the area of the run's own masks, so that an arm that hides
    more would look weaker.
    """
    shared = {name: read_declared(node["_target_"], "shared") or {} for name, node in protocols.items()}
    return {
        name: node | {key: value for key, value in shared[name].items() if node.get(key) is None}
        for name, node in protocols.items()
    }


def check_demands(protocols: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Raise a ``UserError`` if protocols, by name, declare to need what stock runs or the images do not have."""
    # A user's own data set declares nothing.
    known = read_arguments(data["_target_"]) is not None
    for name, node in protocols.items():
        needs, stand_in = (read_declared(node["_target_"], key) or () for key in ("needs", "stand_in"))
        if "masker" in needs and (not stand_in or node.get(stand_in) is None):
            raise UserError(
                f"protocol={name} scores the masks of a run, and stock runs have none. Name a {stand_in} to score for "
                f"all by protocol.{name}.{stand_in}={{_target_: ...}}, or leave '{name}' out; amask-evaluate scores "
                "the masks of a single run."
            )
        if "objects" in needs and known and not read_declared(data["_target_"], "OBJECTS"):
            raise UserError(
                f"protocol={name} needs object masks, which these images do not have; choose data=shapes or "
                f"data=image_masks, or leave '{name}' out."
            )
        if "labels" in needs and known and data.get("labels") == "none":
            raise UserError(f"protocol={name} needs labels, but data.labels is none; leave one of them out.")
        if "labels" in needs and read_declared(data["_target_"], "LABELS") is False:
            raise UserError(f"protocol={name} needs labels, which these images do not have; leave it out.")


def needing(what: str, protocols: Mapping[str, Any], data: str) -> list[str]:
    """Return the protocols that declare a need, if only the images themselves show whether it is met.

    ``what`` is ``"labels"`` or ``"validation"``, of which a folder of images may have none. A data set of this package,
    by its dotted path, that has no argument ``labels`` has both.
    """
    declared = read_arguments(data)
    if declared is not None and "labels" not in declared.names:
        return []
    return [name for name, node in protocols.items() if what in (read_declared(node["_target_"], "needs") or ())]
