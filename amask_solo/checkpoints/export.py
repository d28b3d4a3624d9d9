"""Export the backbone to a file that torchvision, timm or any other library can load."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from amask_solo.checkpoints.metadata import describe
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
from amask_solo.settings.evaluation import Format, check_counterpart, check_format


@dataclass(frozen=True)
class Export:
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
        arch: The host's name of the backbone, or ``timm/`` and timm's name; by default, it is read from the checkpoint
            or found by the shapes of the tensors.

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
    metadata = describe(plan) | known
    missing: tuple[str, ...] = ()
    if format == "safetensors":
        metadata["load"] = f'safetensors.torch.load_file("{path.name}")'
    else:
        target, metadata["load"] = _target(state, plan, format, path.name)
        missing = check_fit(state, target, plan.arch)
    write_whole(path, _content(state, metadata, format))
    write_whole(path.with_suffix(".json"), json.dumps(metadata, indent=2) + "\n")
    return Export(path, len(state), missing, metadata)


def _content(state: State, metadata: dict[str, str], format: Format) -> bytes | memoryview:  # noqa: A002
    if format == "safetensors":
        return safetensors.torch.save(dict(state), metadata)
    content = io.BytesIO()
    torch.save(state, content)
    return content.getbuffer()


def _target(
    state: State,
    plan: Blueprint,
    format: Format,  # noqa: A002
    file: str,
) -> tuple[nn.Module, str]:
    check_counterpart(plan.arch, format)
    if format == "timm":
        options = timm_options(state, plan)
        named = "".join(f", {name}={value!r}" for name, value in options.items())
        load = f'timm.create_model("{timm_name(plan.arch)}", num_classes=0{named})'
        load += f'.load_state_dict(torch.load("{file}"))'
        return build_timm(state, plan), load
    load = f'torchvision.models.{plan.arch}().load_state_dict(torch.load("{file}"), strict=False)'
    return build_torchvision(state, plan.arch), f"{load}  # all but fc"
