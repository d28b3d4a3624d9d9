"""Export the backbone to a file that torchvision, timm or any other library can load."""

import io
import json
from pathlib import Path
from typing import Literal, NamedTuple

import safetensors.torch
import torch

from amask_solo.checkpoints.loading import loading_code
from amask_solo.checkpoints.read import (
    Checkpoint,
    backbone_state,
    history,
    images_of,
    read,
    saved_blueprint,
    with_teacher,
)
from amask_solo.checkpoints.view_filter import recorded_filter
from amask_solo.files import write_whole
from amask_solo.hosts.architectures import (
    build_timm,
    build_torchvision,
    check_fit,
    find_arch,
    has_cifar_stem,
    stem_code,
)
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.repairs import VIEW_FILTER
from amask_solo.settings.evaluation import Format, check_counterpart, check_format


class Export(NamedTuple):
    """The result of an export.

    Attributes:
        path: The file with the tensors; the metadata are beside it as ``.json``.
        tensors: The number of tensors that were written.
        missing: Tensors of the target that the backbone does not have; at most those of the classifier ``fc``.
        metadata: ``arch``, ``load`` (the code that loads the file, from its folder), ``kwargs`` (the arguments that the
            backbone was built with, such as the pooling of a ViT, as JSON) and ``stem`` if it is the one for CIFAR. If
            the checkpoint has them, also ``method``, ``epochs``, ``images`` (size, mean and std of the images, as JSON)
            and ``view_filter`` (the filter that normalized images must pass first, as a JSON node).
        code: The same code with the path of the file.
    """

    path: Path
    tensors: int
    missing: tuple[str, ...]
    metadata: dict[str, str]
    code: str


def export_backbone(
    source: str | Path | Checkpoint,
    path: str | Path,
    *,
    format: Format,  # noqa: A002 - the name of the option
    arch: str | None = None,
    which: Literal["student", "teacher"] = "student",
) -> Export:
    """Write the backbone of a checkpoint, after checking that every tensor fits the target.

    Args:
        source: A checkpoint of either generation of the host, or its path.
        path: The file to write.
        format: ``"torchvision"`` (the host's ResNets, without ``fc``), ``"timm"`` (for a model without classifier), or
            ``"safetensors"`` (any backbone, with its own names of tensors).
        arch: The name of the backbone, as in :func:`~amask_solo.checkpoints.networks.load_backbone`.
        which: The trained backbone, or the momentum backbone.

    Raises:
        UserError: If there is no backbone, or if it does not fit ``arch`` or the format.
    """
    check_format(format)
    path, found = Path(path), read(source)
    checkpoint = with_teacher(found) if which == "teacher" else found
    view_filter = recorded_filter(checkpoint)
    state = {k: v.detach().cpu().clone().contiguous() for k, v in backbone_state(checkpoint).items()}
    plan = saved_blueprint(checkpoint, arch) or Blueprint(find_arch(state) or "unknown")
    missing: tuple[str, ...] = ()
    if format != "safetensors":
        check_counterpart(plan.arch, format)
        target = build_timm(state, plan) if format == "timm" else build_torchvision(state, plan.arch)
        missing = check_fit(state, target, plan.arch)
    images = images_of(checkpoint)
    metadata = {"arch": plan.arch, "format": format, **{k: str(v) for k, v in history(checkpoint).items()}}
    if plan.small_stem or has_cifar_stem(state):
        metadata["stem"] = f"CIFAR (3x3, no pooling); before loading: {stem_code(state)}"
    kept = {VIEW_FILTER: view_filter, "kwargs": dict(plan.untrained.kwargs) or None, "images": images or None}
    metadata |= {key: json.dumps(value) for key, value in kept.items() if value is not None}
    metadata["load"], code = (
        loading_code(state, plan, format, file, images=images, view_filter=view_filter)
        for file in (path.name, str(path))
    )
    content = io.BytesIO()
    if format == "safetensors":
        content.write(safetensors.torch.save(state, metadata))
    else:
        torch.save(state, content)
    write_whole(path, content.getbuffer())
    write_whole(path.with_suffix(".json"), json.dumps(metadata, indent=2) + "\n")
    return Export(path, len(state), missing, metadata, code)
