"""The object is where a backbone of one's own is active."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amask_solo._types import Images
from amask_solo.errors import UserError
from amask_solo.localisers.backbone import activation
from amask_solo.localisers.base import FeatureMaps, Localiser, Maps


class Weights(Localiser):
    """Look through a backbone that was trained before, and stays as it is: what ``amask-export`` writes.

    The backbone is read from its file whenever the localiser is built. It is no part of the module, so checkpoints of
    the run do not hold it.

    Args:
        path: The exported file, of any format. Views reach it as this run makes them.
        arch: The name of the backbone: the host's, or ``timm/NAME``; found by its tensors by default, if it is one of
            the host's ResNets, ViTs, Swins or ConvNeXts.
        kwargs: What the backbone is built with beyond its defaults (``channels``).

    Raises:
        UserError: If the file is missing, or is no backbone that was exported.
    """

    def __init__(self, path: str, arch: str | None = None, kwargs: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        # A function, not a module: what is assigned here would become a part of the masker.
        self.look = partial(_look, load_exported(path, arch, kwargs))

    @torch.no_grad()
    def forward(self, images: Images) -> Maps:
        """Return the activation map."""
        return activation(self.look(images), images)


def _look(network: nn.Module, images: Images) -> FeatureMaps:
    network.to(images.device)
    (last,) = network.forward_intermediates(images.float(), indices=1, output_fmt="NCHW", intermediates_only=True)
    return last


def load_exported(path: str, arch: str | None = None, kwargs: Mapping[str, Any] | None = None) -> nn.Module:
    """Return the backbone of a file that ``amask-export`` wrote, in evaluation mode on the CPU.

    Args:
        path: The file.
        arch: The name of the backbone; found by its tensors by default.
        kwargs: What it is built with beyond its defaults.

    Raises:
        UserError: If the file is missing, or is no backbone that was exported.
    """
    # Not at the top: the other localisers need no such library.
    from amask_solo.hosts.architectures import has_cifar_stem, is_backbone, nearest_arch, rebuild
    from amask_solo.hosts.blueprint import Blueprint

    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"There is no file {file} for localiser=weights; amask-export writes one.")
    state = _read(file)
    tensors = bool(state) and all(isinstance(value, Tensor) for value in state.values())
    if not tensors or not (arch or is_backbone(state)):
        raise UserError(
            f"{file} holds no exported backbone of the host's; amask-export makes one of any run or checkpoint, and "
            "arch=timm/NAME says what another one is."
        )
    return rebuild(state, Blueprint(arch or nearest_arch(state), kwargs or {}, has_cifar_stem(state)))


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            import safetensors.torch

            return safetensors.torch.load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the readers make of a file of another kind
        raise UserError(f"{file} is no file of tensors: {' '.join(str(error).split())[:200]}") from error
    return state if isinstance(state, dict) else {}
