"""The host's backbones in torchvision and timm, and their feature maps."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torchvision
from jaxtyping import Float
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn
from torchvision.models import ResNet

from amask_solo._modes import evaluating
from amask_solo._types import Images
from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.names import TIMM, TIMM_NAMES
from amask_solo.hosts.timm_backbones import build_backbone, with_small_stem

State = Mapping[str, Tensor]

WINDOW = "layers.0.blocks.0.attn.relative_position_bias_table"
FAMILIES = {
    "layer1.0.conv1.weight": "resnet",
    "pos_embed": "vit_",
    WINDOW: "swin_",
    "stages.0.blocks.0.gamma": "convnext_",
}
"""A tensor that only one family of backbones has -> the prefix of the family's names."""

POSITIONS = "pos_embed"

POOL = "global_pool"
"""The argument of timm's ViTs that sets how the tokens are pooled into one vector."""

OWN_HEADS = {"vit_tiny": 12, "vit_small": 12}
"""The numbers of attention heads in the host's ViTs for MAE and MoCo v3, where timm's ViTs have other numbers."""


def has_cifar_stem(state: State) -> bool:
    """Return whether the backbone is a ResNet with the host's small stem, a single 3x3 convolution."""
    return "layer1.0.conv1.weight" in state and "conv1.weight" in state and state["conv1.weight"].shape[-1] == 3


def stem_code(state: State) -> str:
    """Return Python code that turns a ResNet into the variant for CIFAR that has these tensors."""
    if "conv1.weight" in state:
        width, channels = state["conv1.weight"].shape[:2]
        first = f"model.conv1 = torch.nn.Conv2d({channels}, {width}, 3, padding=2, bias=False)"
    else:
        first = "model.conv1[0].stride = (1, 1)"
    return f"{first}; model.maxpool = torch.nn.Identity()"


def find_arch(state: State) -> str | None:
    """Return the host's name of the backbone that all tensors fit, or ``None``."""
    arch = nearest_arch(state)
    return arch if arch and not _misfits(state, build_timm(state, Blueprint(arch))) else None


def nearest_arch(state: State, *, image_size: int | None = None) -> str | None:
    """Return the host's name of the backbone that most tensors fit; ``None`` if they are of no known family."""
    family = next((family for mark, family in FAMILIES.items() if mark in state), None)
    names = [name for name in TIMM_NAMES if family and name.startswith(family)]
    misfits: dict[str, int] = {}
    for name in names:
        misfits[name] = len(_misfits(state, build_timm(state, Blueprint(name), image_size=image_size)))
        if not misfits[name]:
            break
    return min(misfits, key=misfits.__getitem__, default=None)


def check_fit(state: State, target: nn.Module, arch: str) -> None:
    """Check that a backbone has all tensors of the target but those of its classifier, and no others.

    Raises:
        UserError: If another tensor is missing, left over or of another shape.
    """
    wrong = _misfits(state, target)
    if wrong:
        raise UserError(
            f"The backbone is no '{arch}': {len(wrong)} tensors do not fit, first "
            f"'{wrong[0]}'. Name the right arch, if there is one."
        )


def _misfits(state: State, target: nn.Module) -> list[str]:
    wanted = {name: value.shape for name, value in target.state_dict().items()}
    missing = [name for name in wanted if name not in state and not name.startswith("fc.")]
    return missing + [name for name, value in state.items() if wanted.get(name) != value.shape]


def resize_positions(state: State, target: nn.Module) -> State:
    """Return the tensors of a ViT with its positions resized to the target's grid of patches, if that differs."""
    grid, own = getattr(getattr(target, "patch_embed", None), "grid_size", None), state.get(POSITIONS)
    wanted = target.state_dict().get(POSITIONS)
    if grid is None or own is None or wanted is None or own.ndim != 3 or own.shape == wanted.shape:
        return state
    prefix: Any = getattr(target, "num_prefix_tokens", 1)
    if math.isqrt(own.shape[1] - prefix) ** 2 != own.shape[1] - prefix:  # it has another number of other tokens
        return state
    return {**state, POSITIONS: resample_abs_pos_embed(own, list(grid), num_prefix_tokens=prefix)}


def resample_positions(model: nn.Module, image_size: int) -> int | None:
    """Resample the positions of a timm ViT for images of another size, as timm does it: bicubic on the grid of patches.

    Returns:
        The size that it had; ``None`` if it is the same, or there are no positions for a size.
    """
    patches: Any = getattr(model, "patch_embed", None)
    own, set_size = getattr(patches, "img_size", None), getattr(model, "set_input_size", None)
    if own is None or set_size is None or own[0] == image_size or getattr(model, POSITIONS, None) is None:
        return None
    set_size(img_size=image_size)
    return own[0]


def build_torchvision(state: State, arch: str) -> nn.Module:
    """Return torchvision's model on the meta device, with the stem that fits the tensors."""
    with torch.device("meta"):
        model = torchvision.models.get_model(arch, weights=None)
        return with_small_stem(model) if has_cifar_stem(state) else model


def build_timm(
    state: State, plan: Blueprint, *, image_size: int | None = None, device: torch.device | str = "meta"
) -> nn.Module:
    """Return timm's model without classifier, in the sizes of the given tensors but not with their values.

    The arguments are those of :func:`timm_options`, and the device of the model.
    """
    small = plan.small_stem if plan.timm else has_cifar_stem(state)
    options = timm_options(state, plan, image_size=image_size)
    with torch.device(device), torch.random.fork_rng(devices=[]):
        return build_backbone(Blueprint(TIMM + timm_name(plan.arch), options, small))


def rebuild(state: State, plan: Blueprint, *, image_size: int | None = None) -> nn.Module:
    """Return timm's model with these tensors, which must fit as in :func:`check_fit`, on the CPU, for evaluation."""
    check_fit(state, build_timm(state, plan, image_size=image_size), plan.arch)
    model = build_timm(state, plan, image_size=image_size, device="cpu")
    model.load_state_dict(state)
    return model.eval()


def timm_name(arch: str) -> str:
    """Return timm's name of a backbone of the host or of timm."""
    return TIMM_NAMES.get(arch, arch.removeprefix(TIMM))


def timm_options(state: State, plan: Blueprint, *, image_size: int | None = None) -> dict[str, Any]:
    """Return the arguments for timm: those that its backbone was built with, or those that follow from the tensors.

    Only a Swin needs the size of the images, to place its windows.
    """
    if plan.timm:
        return dict(plan.untrained.kwargs)
    arch = plan.arch
    if arch.startswith("vit_") and "pos_embed" in state:
        return _vit_options(state, arch) | {key: plan.kwargs[key] for key in (POOL,) if key in plan.kwargs}
    if arch.startswith("swin_") and WINDOW in state:
        # The table has (2 w - 1)^2 rows: one for each offset, from -(w - 1) to w - 1 along both axes.
        window = (round(state[WINDOW].shape[0] ** 0.5) + 1) // 2
        return {"window_size": window, **({"img_size": image_size} if image_size else {})}
    return {}


def _vit_options(state: State, arch: str) -> dict[str, Any]:
    patch = state["patch_embed.proj.weight"].shape[-1]
    side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    options: dict[str, Any] = {"img_size": side * patch, "patch_size": patch}
    # The host's ViTs for MAE and MoCo v3 have tensors of the same shapes but another number of heads. Only they have
    # fixed positions, with zeros for the class token.
    if arch in OWN_HEADS and not state["pos_embed"][0, 0].is_meta and not state["pos_embed"][0, 0].any():
        options["num_heads"] = OWN_HEADS[arch]
    if "fc_norm.weight" in state:
        options[POOL] = "avg"
    return options


def last_map(network: Any, images: Images) -> Float[Tensor, "b d i j"]:
    """Return the last feature map of a network of timm before pooling; a ViT's patch tokens on their grid."""
    (last,) = network.forward_intermediates(images, indices=1, output_fmt="NCHW", intermediates_only=True)
    return last


@torch.no_grad()
def feature_map(backbone: Any, images: Images) -> Float[Tensor, "b d i j"]:
    """Return the last feature map before pooling; for a ViT, the patch tokens on their grid.

    The backbone runs in evaluation mode, so that it writes no statistics and draws no numbers. Its own ``forward`` is
    not called, because that one remembers clean views.

    Raises:
        UserError: If the backbone is neither a ResNet of torchvision nor a network of timm with feature maps.
    """
    with evaluating(backbone):
        if isinstance(backbone, ResNet):
            layers = list(backbone.named_children())
            for _, layer in layers[: [name for name, _ in layers].index("avgpool")]:
                images = layer(images)
            return images
        if hasattr(backbone, "forward_intermediates"):
            return last_map(backbone, images)
    raise UserError(
        f"The backbone {type(backbone).__name__} shows no map of features, only ResNets, ViTs, Swins and ConvNeXts do; "
        "choose one of them, or localiser=spectral_residual."
    )
