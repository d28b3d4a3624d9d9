"""Rebuild the projector of a run from the tensors of its checkpoint, without the host."""

from collections.abc import Mapping

from omegaconf import DictConfig
from torch import Tensor, nn

from amask_solo.checkpoints.read import Checkpoint, read
from amask_solo.hosts.methods import by_name

PROJECTOR = "projector."


def load_head(checkpoint: Checkpoint, cfg: DictConfig | None) -> nn.Sequential | None:
    """Return the projector of a run, in evaluation mode on the CPU.

    In both generations of the host, the projector is a sequence of linear layers, batch norms and activations; an
    activation has no tensors, so it shows as a gap in the numbering.

    Args:
        checkpoint: The checkpoint of the run.
        cfg: The configuration of the run; see :func:`~amask_solo.checkpoints.networks.config_of`.

    Returns:
        The projector, or ``None`` if the checkpoint has no projector of this form, or if its method is unknown or a
        user's own class.
    """
    if cfg is None or cfg.get("base_class"):
        return None
    state = read(checkpoint)["state_dict"]
    own = {key.removeprefix(PROJECTOR): value for key, value in state.items() if key.startswith(PROJECTOR)}
    activation = nn.GELU if by_name(str(cfg.method)).gelu else nn.ReLU
    layers = _layers(own, activation)
    if not layers:
        return None
    head = nn.Sequential(*layers)
    head.load_state_dict(own)
    return head.eval()


def _layers(state: Mapping[str, Tensor], activation: type[nn.Module]) -> list[nn.Module]:
    tensors: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        place, _, name = key.partition(".")
        if not place.isdecimal():
            return []
        tensors.setdefault(int(place), {})[name] = value
    layers = [
        _layer(tensors[place]) if place in tensors else activation() for place in range(max(tensors, default=-1) + 1)
    ]
    known = [layer for layer in layers if layer is not None]
    return known if len(known) == len(layers) else []


def _layer(tensors: Mapping[str, Tensor]) -> nn.Module | None:
    """Return the linear layer or batch norm with these tensors; ``None`` if they belong to another kind of layer."""
    names, weight = set(tensors), tensors.get("weight")
    if names <= {"weight", "bias"} and weight is not None and weight.ndim == 2:
        return nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in tensors)
    if {"running_mean", "running_var"} <= names <= {"weight", "bias", *_STATISTICS}:
        return nn.BatchNorm1d(len(tensors["running_mean"]), affine=weight is not None)
    return None


_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
