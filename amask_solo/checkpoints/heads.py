"""Rebuild the projector of a run from the tensors of its checkpoint, without the host."""

from collections.abc import Mapping

from omegaconf import DictConfig
from torch import Tensor, nn

from amask_solo.checkpoints.read import Checkpoint, read
from amask_solo.hosts.methods import by_name

PROJECTOR, COUNT = "projector.", "num_batches_tracked"


def load_head(checkpoint: Checkpoint, cfg: DictConfig | None) -> nn.Sequential | None:
    """Return the projector of a run, in evaluation mode on the CPU.

    In both generations of the host, the projector is a sequence of linear layers, batch norms and activations; an
    activation has no tensors, so it shows as a gap in the numbering. ``None`` is returned if the checkpoint has no
    projector of this form, or if its method is unknown or a user's own class.
    """
    if cfg is None or cfg.get("base_class"):
        return None
    state = read(checkpoint)["state_dict"]
    own = {key.removeprefix(PROJECTOR): value for key, value in state.items() if key.startswith(PROJECTOR)}
    tensors: dict[int, dict[str, Tensor]] = {}
    for key, value in own.items():
        place, _, name = key.partition(".")
        if not place.isdecimal():
            return None
        tensors.setdefault(int(place), {})[name] = value
    activation = nn.GELU if by_name(str(cfg.method)).gelu else nn.ReLU
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
