"""Export the backbone to a file that torchvision, timm or any other library can load."""

import io
import json
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import nn

from amask_solo.checkpoints.read import Checkpoint, backbone_state, history, read, saved_blueprint
from amask_solo.checkpoints.view_filter import recorded_filter
from amask_solo.files import write_whole
from amask_solo.hosts.architectures import (
    State,
    build_timm,
    build_torchvision,
    check_fit,
    find_arch,
    has_cifar_stem,
    stem_code,
    timm_name,
    timm_options,
)
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.repairs import VIEW_FILTER
from amask_solo.settings.architectures import Format, check_counterpart, check_format


class Export(NamedTuple):
    """The result of an export.

    Attributes:
        path: The file with the tensors; the metadata are beside it as ``.json``.
        tensors: The number of tensors that were written.
        missing: Tensors of the target that the backbone does not have; at most those of the classifier ``fc``.
        metadata: ``arch``, ``load`` (the code that loads the file), ``kwargs`` (the arguments that the backbone was
            built with, such as the pooling of a ViT, as JSON) and ``stem`` if it is the one for CIFAR. If the
            checkpoint has them, also ``method``, ``epochs`` and ``view_filter`` (the filter that normalized images must
            pass first, as a JSON node).
    """

    path: Path
    tensors: int
    missing: tuple[str, ...]
    metadata: dict[str, str]


def export_backbone(
    source: str | Path | Checkpoint,
    path: str | Path,
    *,
    format: Format,  # noqa: A002 - the name of the option
    arch: str | None = None,
) -> Export:
    """Write the backbone of a checkpoint, after checking that every tensor fits the target.

    Args:
        source: A checkpoint of either generation of the host, or its path.
        path: The file to write.
        format: ``"torchvision"`` (the host's ResNets, without ``fc``), ``"timm"`` (for a model without classifier), or
            ``"safetensors"`` (any backbone, with its own names of tensors).
        arch: The name of the backbone, as in :func:`~amask_solo.checkpoints.networks.load_backbone`.

    Raises:
        UserError: If there is no backbone, or if it does not fit ``arch`` or the format.
    """
    check_format(format)
    path, checkpoint = Path(path), read(source)
    view_filter = recorded_filter(checkpoint)
    state = {k: v.detach().cpu().clone().contiguous() for k, v in backbone_state(checkpoint).items()}
    plan = saved_blueprint(checkpoint, arch) or Blueprint(find_arch(state) or "unknown")
    known = {"format": format, **{k: str(v) for k, v in history(checkpoint).items()}}
    if plan.small_stem or has_cifar_stem(state):
        known["stem"] = f"CIFAR (3x3, no pooling); before loading: {stem_code(state)}"
    if view_filter is not None:
        known[VIEW_FILTER] = json.dumps(view_filter)
    if kwargs := plan.untrained.kwargs:
        known["kwargs"] = json.dumps(dict(kwargs))
    metadata = {"arch": plan.arch} | known
    missing: tuple[str, ...] = ()
    if format == "safetensors":
        metadata["load"] = f'safetensors.torch.load_file("{path.name}")'
    else:
        target, metadata["load"] = _target(state, plan, format, path.name)
        missing = check_fit(state, target, plan.arch)
    content = io.BytesIO()
    if format == "safetensors":
        content.write(safetensors.torch.save(state, metadata))
    else:
        torch.save(state, content)
    write_whole(path, content.getbuffer())
    write_whole(path.with_suffix(".json"), json.dumps(metadata, indent=2) + "\n")
    return Export(path, len(state), missing, metadata)


def _target(state: State, plan: Blueprint, kind: Format, file: str) -> tuple[nn.Module, str]:
    check_counterpart(plan.arch, kind)
    if kind == "timm":
        named = "".join(f", {name}={value!r}" for name, value in timm_options(state, plan).items())
        load = f'timm.create_model("{timm_name(plan.arch)}", num_classes=0{named})'
        return build_timm(state, plan), f'{load}.load_state_dict(torch.load("{file}"))'
    load = f'torchvision.models.{plan.arch}().load_state_dict(torch.load("{file}"), strict=False)'
    return build_torchvision(state, plan.arch), f"{load}  # all but fc"
