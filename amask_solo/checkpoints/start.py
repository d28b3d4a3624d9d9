"""Start a training from the weights of another one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn

from amask_solo.checkpoints.foreign import by_children, find_prefix
from amask_solo.checkpoints.read import read
from amask_solo.errors import UserError
from amask_solo.hosts.architectures import resize_positions
from amask_solo.hosts.installed import load_host

ENOUGH = 0.9
"""The share of a backbone's tensors that a file must have; a changed stem, or positions, may be missing."""


def start_from(model: LightningModule, file: str | Path) -> str:
    """Load the weights of a file into a method before its training.

    The backbone is required. The other networks of the method, such as heads, teacher and masker, follow if the file
    has all of their tensors; a teacher that it lacks becomes a copy of its student.

    Args:
        model: The method, stock or masked.
        file: A checkpoint of this plugin or of the host, an export, or the file of another program; see
            :mod:`amask_solo.checkpoints.foreign`.

    Returns:
        What was loaded and what was not, in words, with the name of each tensor of the backbone that is missing.

    Raises:
        UserError: If the file cannot be read, or its backbone is another one.
    """
    host: Any = load_host()
    state, backbone = read(file)["state_dict"], getattr(model, host.backbone)
    prefix, missing, resized = _load_backbone(backbone, state, file)
    students = {host.backbone: host.momentum_backbone}
    loaded, left = [], []
    renamed = {_current(name, host): value for name, value in state.items()}
    for name, module in model.named_children():
        own = module.state_dict()
        if name == host.backbone or not own:
            continue
        given = {key: renamed.get(f"{name}.{key}") for key in own}
        if all(value is not None and value.shape == own[key].shape for key, value in given.items()):
            module.load_state_dict(given)
            loaded.append(name)
        else:
            left.append(name)
    students |= {student: f"momentum_{student}" for student in loaded}
    copied = {teacher: student for student, teacher in students.items() if teacher in left}
    for teacher, student in copied.items():
        getattr(model, teacher).load_state_dict(getattr(model, student).state_dict())
    said = f"Started from {file}: the backbone" + (f" ({', '.join(resized)} resized)" if resized else "")
    said += "".join(f", {name}" for name in loaded)
    said += "".join(f", {teacher} as a copy" for teacher in copied)
    anew = [name for name in left if name not in copied]
    said += f"; anew: {', '.join(anew)}" if anew else ""
    used = tuple(f"{name}." for name in (*loaded, *backbone.state_dict()))
    rest = sorted({_root(name, prefix) for name in renamed if not f"{name.removeprefix(prefix)}.".startswith(used)})
    said += f"; not used: {', '.join(rest)}" if rest else ""
    return said + (f". Not in the file, or of another shape: {', '.join(missing)}." if missing else ".")


def _load_backbone(
    backbone: nn.Module, state: Mapping[str, Tensor], file: str | Path
) -> tuple[str, list[str], list[str]]:
    """Load the backbone's tensors; return their prefix in the file, what it lacks, and what was resized."""
    wanted = backbone.state_dict()
    prefix, fits, resized = "", dict[str, Tensor](), list[str]()
    for named in (state, by_children(state)):
        place = find_prefix(named, wanted) or ""
        found = {name: named[place + name] for name in wanted if place + name in named}
        own = {k: v for k, v in resize_positions(found, backbone).items() if v.shape == wanted[k].shape}
        if len(own) > len(fits):
            prefix, fits, resized = place, own, [name for name in own if own[name] is not found[name]]
    missing = [name for name in wanted if name not in fits]
    if len(fits) < ENOUGH * len(wanted):
        raise UserError(
            f"init={file}: only {len(fits)} of the {len(wanted)} tensors of the backbone are there and fit; "
            f"'{missing[0]}' is the first that does not. Choose the file's backbone.name, backbone.kwargs and stem."
        )
    backbone.load_state_dict(fits, strict=False)
    return prefix, missing, resized


def _root(name: str, prefix: str) -> str:
    return prefix * name.startswith(prefix) + name.removeprefix(prefix).partition(".")[0]


def _current(name: str, host: Any) -> str:
    """Return the name that the installed generation of the host gives to a tensor of either generation."""
    for teacher, own in (("momentum_", host.momentum_backbone), ("", host.backbone)):
        for other in ("backbone.", "encoder."):
            if name.startswith(teacher + other):
                return f"{own}.{name.removeprefix(teacher + other)}"
    return name
