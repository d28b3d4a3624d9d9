"""Export the backbone to a file that torchvision, timm or any other library can load."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from amask_solo.checkpoints.formats import content, onnx_graph
from amask_solo.checkpoints.loading import loading_code
from amask_solo.checkpoints.networks import load_backbone
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
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import fit_size
from amask_solo.files import write_json, write_whole
from amask_solo.hosts.architectures import (
    State,
    build_timm,
    build_torchvision,
    check_fit,
    find_arch,
    has_cifar_stem,
    stem_code,
)
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.exported import FINGERPRINT, UNKNOWN, fingerprint
from amask_solo.hosts.repairs import VIEW_FILTER
from amask_solo.settings.evaluation import Format, check_counterpart, check_format, fitting_format


class Export(NamedTuple):
    """The result of an export.

    Attributes:
        path: The file with the tensors; the metadata are beside it as ``.json``.
        tensors: The number of tensors that were written.
        metadata: ``arch``, ``load`` (the code that loads the file, from its folder), ``kwargs`` (the arguments that the
            backbone was built with, such as the pooling of a ViT, as JSON), ``fingerprint`` (of the tensors, so that no
            other file is taken for this one) and ``stem`` if it is the one for CIFAR. If the checkpoint has them, also
            ``method``, ``epochs``, ``images`` (size, mean and std of the images, as JSON) and ``view_filter`` (the
            filter that normalized images must pass first, as a JSON node).
        code: The same code with the path of the file.
    """

    path: Path
    tensors: int
    metadata: dict[str, str]
    code: str


def export_backbone(
    source: str | Path | Checkpoint,
    path: str | Path,
    *,
    format: Format,  # noqa: A002 - the name of the option
    arch: str | None = None,
    which: Literal["student", "teacher"] = "student",
    image_size: int | None = None,
) -> Export:
    """Write the backbone of a checkpoint, after checking that every tensor fits the target.

    Args:
        source: A checkpoint of either generation of the host, or its path.
        path: The file to write.
        format: ``"torchvision"`` (the host's ResNets, without ``fc``), ``"timm"`` (for a model without classifier),
            ``"safetensors"`` (any backbone, with its own names of tensors), ``"onnx"`` (the graph of any backbone), or
            ``"detectron2"`` (the host's ResNets, with the names of that library).
        arch: The name of the backbone, as in :func:`~amask_solo.checkpoints.networks.load_backbone`.
        which: The trained backbone, or the momentum backbone.
        image_size: Height and width of the images that it will see, if not those of its training: the positions of a
            ViT are resampled for them. The graph of ONNX takes images of this size alone.

    Raises:
        UserError: If there is no backbone, if it does not fit ``arch`` or the format, or if the size of the images is
            needed and unknown.
    """
    check_format(format)
    path, found = Path(path), read(source)
    checkpoint = with_teacher(found) if which == "teacher" else found
    view_filter = recorded_filter(checkpoint)
    state: State = {k: v.detach().cpu().clone().contiguous() for k, v in backbone_state(checkpoint).items()}
    plan = saved_blueprint(checkpoint, arch) or Blueprint(find_arch(state) or UNKNOWN)
    if format not in ("safetensors", "onnx"):
        check_counterpart(plan.arch, format)
        target = build_timm(state, plan) if format == "timm" else build_torchvision(state, plan.arch)
        check_fit(state, target, plan.arch)
    images = images_of(checkpoint)
    if image_size is not None:
        state, plan = _at_size(checkpoint, plan, arch, image_size)
        images = _seen_at(images, image_size)
    metadata = {"arch": plan.arch, "format": format, **{k: str(v) for k, v in history(checkpoint).items()}}
    if plan.small_stem or has_cifar_stem(state):
        metadata["stem"] = f"CIFAR (3x3, no pooling); before loading: {stem_code(state)}"
    kept = {VIEW_FILTER: view_filter, "kwargs": dict(plan.untrained.kwargs) or None, "images": images or None}
    metadata |= {key: json.dumps(value) for key, value in kept.items() if value is not None}
    metadata[FINGERPRINT] = fingerprint(state)
    metadata["load"], code = (
        loading_code(state, plan, format, file, images=images, view_filter=view_filter)
        for file in (path.name, str(path))
    )
    write_whole(path, content(format, state, metadata, lambda: _graph(checkpoint, arch, images, image_size)))
    write_json(path.with_suffix(".json"), metadata)
    return Export(path, len(state), metadata, code)


def format_of(checkpoint: Checkpoint, arch: str | None = None) -> Format:
    """Return the format whose library has the backbone of a checkpoint: torchvision, else timm, else safetensors.

    Raises:
        UserError: If nobody knows which backbone it is.
    """
    plan = saved_blueprint(checkpoint, arch)
    found = plan.arch if plan else find_arch(backbone_state(checkpoint))
    if found is None:
        raise UserError(
            "The backbone is unknown: its tensors fit none of the host's. Name it, as in arch=resnet18, or write it as "
            "it is: format=safetensors."
        )
    return fitting_format(found)


def _at_size(checkpoint: Checkpoint, plan: Blueprint, arch: str | None, image_size: int) -> tuple[State, Blueprint]:
    """Return the tensors for images of another size, and what is known about them."""
    backbone, _ = load_backbone(checkpoint, arch, image_size=image_size)
    before = fit_size(backbone, image_size, _channels(images_of(checkpoint)))
    known = {**plan.kwargs, "img_size": image_size} if before and (plan.timm or "img_size" in plan.kwargs) else None
    return backbone.model.state_dict(), plan._replace(kwargs=known) if known else plan


def _seen_at(images: dict[str, Any], image_size: int) -> dict[str, Any]:
    """Return what is known of images, for views of another size: those that were seen whole still are."""
    if not images or images["image_size"] == image_size:
        return images
    whole = images.get("stored_size") == images["image_size"]
    kept = {key: value for key, value in images.items() if key != "stored_size"}
    return {**kept, "image_size": image_size, **({"stored_size": image_size} if whole else {})}


def _graph(checkpoint: Checkpoint, arch: str | None, images: dict[str, Any], image_size: int | None) -> bytes:
    size = image_size or images.get("image_size")
    if size is None:
        raise UserError("The checkpoint does not say how large its images are; give image_size=224, for example.")
    backbone, _ = load_backbone(checkpoint, arch, image_size=size)
    fit_size(backbone, size, _channels(images))
    return onnx_graph(backbone.model, image_size=size, channels=_channels(images))


def _channels(images: dict[str, Any]) -> int:
    return len(images.get("mean", (0, 0, 0)))
