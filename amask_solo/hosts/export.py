"""The backbone alone, in a file that torchvision, timm or any other library loads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import safetensors.torch
import timm
import torch
import torchvision
from torch import Tensor, nn

from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.checkpoints import Checkpoint, backbone_state, read
from amask_solo.hosts.repairs import STATE

Format = Literal["torchvision", "timm", "safetensors"]

RESNETS = ("resnet18", "resnet50")
TIMM_NAMES = {
    **{name: name for name in RESNETS},
    **{f"vit_{size}": f"vit_{size}_patch16_224" for size in ("tiny", "small", "base", "large")},
    **{
        f"swin_{size}": f"swin_{size}_patch4_window7_224"
        for size in ("tiny", "small", "base", "large")
    },
    **{f"convnext_{size}": f"convnext_{size}" for size in ("tiny", "small", "base", "large")},
}
"""The host's name of a backbone -> timm's."""

WINDOW = "layers.0.blocks.0.attn.relative_position_bias_table"
FAMILIES = {
    "layer1.0.conv1.weight": "resnet",
    "pos_embed": "vit_",
    WINDOW: "swin_",
    "stages.0.blocks.0.gamma": "convnext_",
}
"""A tensor that only one family of backbones has -> how the names of that family begin."""

CIFAR_STEM = (
    "model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=2, bias=False); "
    "model.maxpool = torch.nn.Identity()"
)
"""What turns a ResNet into the host's variant for CIFAR."""


@dataclass(frozen=True)
class Export:
    """What was written.

    Attributes:
        path: The file with the tensors; the metadata lie beside it as ``.json``.
        tensors: How many tensors were written.
        missing: Tensors of the target that the backbone does not have; at most its classifier
            ``fc``.
        metadata: ``arch``, ``load`` (the code that loads the file), ``stem`` if it is the one for
            CIFAR, and as far as the checkpoint says so ``method`` and ``epochs``.
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
        source: A checkpoint of either generation, or its path.
        path: Where to write.
        format: ``"torchvision"`` (ResNets; all but ``fc`` is there), ``"timm"`` (all of it, for a
            model without classifier), or ``"safetensors"`` (any backbone, in the host's own names).
        arch: The host's name of the backbone; read from the checkpoint or found by its shapes by
            default.

    Raises:
        UserError: If there is no backbone, or if it does not fit ``arch`` or the format.
    """
    if format not in get_args(Format):
        raise unknown_key(str(format), get_args(Format), "format")
    path, checkpoint = Path(path), read(source)
    state = {
        k: v.detach().cpu().clone().contiguous() for k, v in backbone_state(checkpoint).items()
    }
    saved = checkpoint.get(STATE, {})
    arch = arch or saved.get("backbone") or find_arch(state)
    metadata = {"arch": arch or "unknown", "format": format}
    metadata |= {"method": saved["method"]} if "method" in saved else {}
    metadata |= _epochs(checkpoint)
    if has_cifar_stem(state):
        metadata["stem"] = f"CIFAR (3x3, no pooling); before loading: {CIFAR_STEM}"
    missing: tuple[str, ...] = ()
    if format == "safetensors":
        metadata["load"] = f'safetensors.torch.load_file("{path.name}")'
    else:
        target, metadata["load"] = _target(state, arch, format, path.name)
        missing = check_fit(state, target, arch)
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "safetensors":
        safetensors.torch.save_file(state, path, metadata)
    else:
        torch.save(state, path)
    path.with_suffix(".json").write_text(json.dumps(metadata, indent=2) + "\n")
    return Export(path, len(state), missing, metadata)


def _epochs(checkpoint: Checkpoint) -> dict[str, str]:
    # `checkpoint["epoch"]` is one less if the file was written in the epoch than after it.
    try:
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["total"]
        return {"epochs": str(progress["processed"])}
    except (KeyError, TypeError):
        return {}


def has_cifar_stem(state: Mapping[str, Tensor]) -> bool:
    """Return whether the backbone is a ResNet with the host's small stem."""
    return "layer1.0.conv1.weight" in state and tuple(state["conv1.weight"].shape[-2:]) == (3, 3)


def find_arch(state: Mapping[str, Tensor]) -> str | None:
    """Return the host's name of the backbone whose tensors these are, or ``None``."""
    family = next((family for mark, family in FAMILIES.items() if mark in state), None)
    for arch in (name for name in TIMM_NAMES if family and name.startswith(family)):
        try:
            check_fit(state, _build_timm(state, arch), arch)
        except UserError:
            continue
        return arch
    return None


def check_fit(state: Mapping[str, Tensor], target: nn.Module, arch: str) -> tuple[str, ...]:
    """Return what the target has and the backbone has not, which is its classifier at most.

    Raises:
        UserError: If a tensor is missing, left over or of another shape.
    """
    wanted = {name: value.shape for name, value in target.state_dict().items()}
    missing = tuple(name for name in wanted if name not in state)
    wrong = [name for name in missing if not name.startswith("fc.")]
    wrong += [name for name, value in state.items() if wanted.get(name) != value.shape]
    if wrong:
        raise UserError(
            f"The backbone is no '{arch}': {len(wrong)} of {len(state)} tensors do not fit, first "
            f"'{wrong[0]}'. Name the right arch, or use format=safetensors, which takes all."
        )
    return missing


def _target(
    state: Mapping[str, Tensor],
    arch: str | None,
    format: Format,  # noqa: A002
    file: str,
) -> tuple[nn.Module, str]:
    known = RESNETS if format == "torchvision" else tuple(TIMM_NAMES)
    if arch not in known:
        other = "timm or format=safetensors" if arch in TIMM_NAMES else "safetensors"
        raise UserError(
            f"{format} has no counterpart of the backbone '{arch or 'unknown'}', only of "
            f"{', '.join(known)}. Use format={other}."
        )
    if format == "timm":
        options = _timm_options(state, arch)
        named = "".join(f", {name}={value}" for name, value in options.items())
        load = f'timm.create_model("{TIMM_NAMES[arch]}", num_classes=0{named})'
        load += f'.load_state_dict(torch.load("{file}"))'
        return _build_timm(state, arch), load
    with torch.device("meta"):
        model = _with_stem(torchvision.models.get_model(arch, weights=None), state)
    load = f'torchvision.models.{arch}().load_state_dict(torch.load("{file}"), strict=False)'
    return model, f"{load}  # all but fc"


def _build_timm(state: Mapping[str, Tensor], arch: str) -> nn.Module:
    with torch.device("meta"):
        # Not by `create_model`: the current host registers broken functions under some of timm's
        # names.
        build = getattr(timm.models, TIMM_NAMES[arch])
        model = build(num_classes=0, **_timm_options(state, arch))
        return _with_stem(model, state)


def _with_stem(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    if has_cifar_stem(state) and hasattr(model, "conv1"):
        model.conv1 = nn.Conv2d(3, 64, 3, padding=2, bias=False)
    return model


def _timm_options(state: Mapping[str, Tensor], arch: str) -> dict[str, int]:
    """Return what timm must be told, found in the shapes of the tensors."""
    if arch.startswith("vit_") and "pos_embed" in state:
        patch = state["patch_embed.proj.weight"].shape[-1]
        side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
        return {"img_size": side * patch, "patch_size": patch}
    if arch.startswith("swin_") and WINDOW in state:
        # One row for each offset between two of the window's positions, from -(w - 1) to w - 1.
        return {"window_size": (round(state[WINDOW].shape[0] ** 0.5) + 1) // 2}
    return {}
