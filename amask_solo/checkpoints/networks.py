"""Build the networks of a run or a checkpoint for an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from amask_solo._types import Images, Masks
from amask_solo.checkpoints.read import (
    Checkpoint,
    backbone_state,
    read,
    saved_blueprint,
    teacher_state,
    with_teacher,
)
from amask_solo.checkpoints.stored import read_stored, trusted
from amask_solo.configuration import check_keys
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.game.game import Game
from amask_solo.hosts.architectures import nearest_arch, rebuild
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.exported import UNKNOWN
from amask_solo.hosts.methods import by_name
from amask_solo.hosts.names import TIMM_NAMES
from amask_solo.hosts.repairs import STATE
from amask_solo.layout import CHECKPOINTS, CONFIG, PREFIX
from amask_solo.masked.settings import build_settings
from amask_solo.maskers.base import Masker
from amask_solo.settings.evaluation import check_arch

ADVERSARY = "adversary."
"""The prefix of the adversary's tensors in a checkpoint."""

PROJECTOR, COUNT = "projector.", "num_batches_tracked"


def load_backbone(
    source: str | Path | Checkpoint, arch: str | None = None, *, image_size: int | None = None
) -> tuple[Backbone, str]:
    """Return the backbone of a checkpoint, after checking every tensor of it, and its name.

    Args:
        source: A checkpoint of either generation of the host, stock or masked, or an exported backbone; or its path.
        arch: The host's name of the backbone, or ``timm/`` and timm's name; by default, it is read from the checkpoint
            or found by the shapes of the tensors.
        image_size: Height and width of the images, which only a Swin needs.

    Returns:
        The backbone, in evaluation mode on the CPU, and its name.

    Raises:
        UserError: If there is no backbone, or if a tensor does not fit ``arch``.
    """
    checkpoint = read(source)
    state = backbone_state(checkpoint)
    if arch is not None:
        check_arch(arch)
    plan = saved_blueprint(checkpoint, arch) or Blueprint(nearest_arch(state, image_size=image_size) or UNKNOWN)
    if plan.arch not in TIMM_NAMES and not plan.timm:
        raise UserError(
            f"Cannot build the backbone '{plan.arch}' of the checkpoint, only {', '.join(TIMM_NAMES)} and timm/NAME. "
            "If it is one of these, name it by arch=..."
        )
    return Backbone(rebuild(state, plan, image_size=image_size)).eval(), plan.arch


def load_teacher(checkpoint: Checkpoint, arch: str | None = None, *, image_size: int | None = None) -> Backbone:
    """Return the momentum backbone of a checkpoint, or its backbone if it has none; see :func:`load_backbone`."""
    given = with_teacher(checkpoint) if teacher_state(checkpoint) else checkpoint
    return load_backbone(given, arch, image_size=image_size)[0]


def config_of(checkpoint: Path, *, trust: Sequence[str] = ()) -> DictConfig | None:
    """Return the ``config.yaml`` of the run that a checkpoint belongs to, if there is one.

    Raises:
        UserError: If the file cannot be read, or names a target that is not trusted; see
            :func:`~amask_solo.checkpoints.stored.trusted`.
    """
    path = checkpoint.parent.parent / CONFIG
    if checkpoint.parent.name != CHECKPOINTS or not path.is_file():
        return None
    cfg = read_stored(path)
    nodes = (cfg.get("data"), cfg.get("adversary", OmegaConf.create({})))
    if "method" not in cfg or not all(isinstance(node, DictConfig) for node in nodes):
        raise UserError(f"{path} is not the configuration of a run: it names no method or no data.")
    return trusted(cfg, path, trust=trust)


def load_masker(source: str | Path | Checkpoint, cfg: DictConfig | None) -> Masker | None:
    """Return the masker of a masked run, learned or not, after checking every tensor of it; ``None`` for a stock run.

    It is in evaluation mode on the CPU, and returns the masks as the game applies them.

    Args:
        source: The checkpoint of the run, or its path.
        cfg: The configuration of the run, which describes the masker; see :func:`config_of`.

    Raises:
        UserError: If the masker cannot be built again.
    """
    state = read(source)["state_dict"]
    own = {key.removeprefix(ADVERSARY): value for key, value in state.items() if key.startswith(ADVERSARY)}
    if cfg is None and own:
        raise UserError("The checkpoint has a masker, but lies in no run folder, whose config.yaml would describe it.")
    if cfg is None or not str(cfg.method).startswith(PREFIX):
        return None
    adversary = build_settings(cfg).adversary
    try:
        adversary.load_state_dict(own)
    except RuntimeError as error:
        first = " ".join(str(error).split()[:40])
        raise UserError(f"The masker of the checkpoint is not the one that config.yaml describes: {first}") from error
    return Shown(adversary.game).eval()


class Shown(Masker):
    """A masker with the masks as its game applies them: with ``apply: cumulative``, unions of the first n masks."""

    def __init__(self, game: Game) -> None:
        super().__init__()
        self.game = game
        self.num_masks, self.channelwise = game.masker.num_masks, game.masker.channelwise

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        """Return the mask of each of the N occlusions."""
        return self.game.occlusions(self.game.masker(images, generator=generator))


def load_head(checkpoint: Checkpoint, cfg: DictConfig | None) -> nn.Sequential | None:
    """Return the projector of a run, in evaluation mode on the CPU.

    In both generations of the host, the projector is a sequence of linear layers, batch norms and activations; an
    activation has no tensors, so it shows as a gap in the numbering. ``None`` is returned if the checkpoint has no
    projector of this form, or if its method is unknown or a user's own class. The method is that of the configuration,
    or else the one that the checkpoint says.
    """
    saved = read(checkpoint).get(STATE, {}) if cfg is None else cfg
    if saved.get("base_class") or not saved.get("method"):
        return None
    state = read(checkpoint)["state_dict"]
    own = {key.removeprefix(PROJECTOR): value for key, value in state.items() if key.startswith(PROJECTOR)}
    tensors: dict[int, dict[str, Tensor]] = {}
    for key, value in own.items():
        place, _, name = key.partition(".")
        if not place.isdecimal():
            return None
        tensors.setdefault(int(place), {})[name] = value
    activation = nn.GELU if by_name(str(saved["method"])).gelu else nn.ReLU
    places = range(max(tensors, default=-1) + 1)
    layers = [_layer(tensors[place]) if place in tensors else activation() for place in places]
    known = [layer for layer in layers if layer is not None]
    if not known or len(known) < len(layers):
        return None
    head = nn.Sequential(*known)
    head.load_state_dict(own)
    return head.eval()


def _layer(tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """Return the linear layer or batch norm with these tensors; ``None`` if they belong to another kind of layer."""
    names, weight = set(tensors), tensors.get("weight")
    if names <= {"weight", "bias"} and weight is not None and weight.ndim == 2:
        return nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in tensors)
    if {"running_mean", "running_var"} <= names <= {"weight", "bias", "running_mean", "running_var", COUNT}:
        return nn.BatchNorm1d(len(tensors["running_mean"]), affine=weight is not None)
    return None


def data_settings(given: DictConfig | None, cfg: DictConfig | None) -> DictConfig:
    """Return the node of the images for an evaluation, or raise a ``UserError`` if there is none.

    On the command line, ``data`` is a whole data set, or nothing or differences from the data of the run.
    """
    if given and "_target_" in given:
        return given
    if cfg is None:
        raise UserError("This checkpoint lies in no run folder, which would say what its images are; give data=...")
    node: Any = OmegaConf.merge(cfg.data, given or {})
    check_keys(node, "data")
    return node


def pick_device(name: str) -> torch.device:
    """Return a device (``auto`` is the first GPU, if there is one), or raise a ``UserError`` if it does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"device={name} is not there: {first} Use device=auto, cpu or cuda.") from error
    return device
