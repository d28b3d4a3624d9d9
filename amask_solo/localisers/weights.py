"""The object is where a given backbone is active."""

from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amask_solo._types import Images
from amask_solo.errors import UserError, one_line
from amask_solo.localisers.backbone import activation
from amask_solo.localisers.base import FeatureMaps, Localiser, Maps


class Weights(Localiser):
    """Look through a backbone that was trained before and stays as it is: a file that ``amask-export`` wrote.

    The backbone is read from its file whenever the localiser is built. It is no part of the module, so checkpoints of
    the run do not hold it.

    Args:
        path: The exported file, of any format. It sees the views that this run makes.
        arch: The name of the backbone: the host's, or ``timm/NAME``. By default it is the one that the export says,
            with the arguments that built it, or, if that is gone, found by the tensors of the host's ResNets, ViTs,
            Swins and ConvNeXts.
        kwargs: Further arguments that build the backbone (``channels``).

    Raises:
        UserError: If the file is missing, or is no backbone that was exported, or if the ``.json`` beside it describes
            another one.
    """

    def __init__(self, path: str, arch: str | None = None, kwargs: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        file = Path(path).expanduser()
        # A function, not a module, which would become a part of the masker.
        self.look = partial(_look, _load(file, arch, kwargs or {}), {}, file)

    @torch.no_grad()
    def forward(self, images: Images) -> Maps:
        """Return the activation map.

        Raises:
            UserError: If the backbone takes other channels than the views have, or leaves a single pixel of them.
        """
        return activation(self.look(images), images)


def _look(network: Any, sized: dict[int, Any], file: Path, images: Images) -> FeatureMaps:
    """Return the last feature map; ``sized`` keeps a copy of the network for each other size of images.

    If a ViT's positions were resampled in place, back and forth between the sizes of views and of pictures, they would
    wear off.
    """
    from amask_solo.hosts.architectures import last_map, resample_positions

    channels, side = next(weight for weight in network.parameters() if weight.ndim == 4).shape[1], images.shape[-1]
    if channels != images.shape[1]:
        raise UserError(
            f"localiser=weights: {file} takes images of {channels} channels, the views have {images.shape[1]}."
        )
    if side not in sized:
        other = deepcopy(network)
        sized[side] = network if resample_positions(other, side) is None else other
    return last_map(sized[side].to(images.device), images.float())


def _load(file: Path, arch: str | None, kwargs: Mapping[str, Any]) -> nn.Module:
    """Return the backbone of a file, in evaluation mode on the CPU."""
    # Imported here, since the other localisers need no such library.
    from amask_solo.hosts.architectures import has_cifar_stem, nearest_arch, rebuild
    from amask_solo.hosts.blueprint import Blueprint
    from amask_solo.hosts.exported import read_metadata

    if not file.is_file():
        raise UserError(f"There is no file {file} for localiser=weights; amask-export writes one.")
    state = _read(file)
    tensors = bool(state) and all(isinstance(value, Tensor) for value in state.values())
    said = read_metadata(file, state) if tensors and arch is None else {}
    name = (arch or said.get("backbone") or nearest_arch(state)) if tensors else None
    if name is None:
        raise UserError(
            f"{file} holds no exported backbone of the host's; amask-export makes one of any run or checkpoint, and "
            "arch=timm/NAME says what another one is."
        )
    known, small = said.get("backbone_kwargs", {}), said.get("small_stem", False)
    return rebuild(state, Blueprint(name, {**known, **kwargs}, small or has_cifar_stem(state)))


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            import safetensors.torch

            return safetensors.torch.load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the readers make of a file of another kind
        raise UserError(f"{file} is no file of tensors: {one_line(error)[:200]}") from error
    return state if isinstance(state, dict) else {}
