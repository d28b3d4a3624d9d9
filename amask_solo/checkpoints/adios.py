"""The masker in a checkpoint that the authors of ADIOS have published."""

import json
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from amask_solo.checkpoints.read import Checkpoint
from amask_solo.errors import UserError
from amask_solo.maskers import AdiosUNet, SimultaneousMasker
from amask_solo.maskers.adios import Norm
from amask_solo.maskers.base import Masker
from amask_solo.projections import Softmax

NETWORK, HEAD = "mask_encoder.", "mask_head.0."
NAMES = {f"{NETWORK}mlp.": "middle.", NETWORK: "", HEAD: "score."}
"""The beginnings of their names of tensors -> ours, the longer ones first."""

MIDDLE = {"1": "0", "3": "2", "5": "4"}
"""The places of their linear layers, behind one that flattens -> ours."""

ARGUMENTS = "args.json"
"""The file with the settings of a run, beside its checkpoint."""

NORMS: Mapping[str, Norm] = {"gn": "group", "in": "instance", "no": "none"}


def load_adios_masker(checkpoint: Checkpoint, file: Path) -> Masker | None:
    """Return the masker of a checkpoint of the authors' code, after checking every tensor of it.

    The tensors tell the sizes of the network, but group normalization from instance normalization only the run's
    ``args.json`` does, which lies beside the checkpoint as it is published.

    Args:
        checkpoint: The content of the file.
        file: The file.

    Returns:
        The masker, in evaluation mode on the CPU; ``None`` if the checkpoint has none of this kind.

    Raises:
        UserError: If it has one of another architecture.
    """
    state = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith((NETWORK, HEAD))}
    top, score, middle = (
        state.get(name) for name in (f"{NETWORK}down.0.0.weight", f"{HEAD}weight", f"{NETWORK}mlp.1.weight")
    )
    if top is None or score is None or middle is None:
        return None
    width, depth = len(top), len({name.split(".")[2] for name in state if name.startswith(f"{NETWORK}down.")})
    side = round((middle.shape[1] / (2 * width)) ** 0.5)
    norm: Norm = "none" if f"{NETWORK}down.0.0.bias" in state else _norm(file)
    try:
        network = partial(AdiosUNet, width=width, depth=depth, image_size=side * 2 ** (depth - 1), norm=norm)
        masker = SimultaneousMasker(
            len(score), network=network, projection=Softmax(), resolution=1.0, channels=top.shape[1]
        )
        masker.network.load_state_dict({_own(name): value for name, value in state.items()})
    except (RuntimeError, ValueError) as error:
        first = " ".join(str(error).split()[:40])
        raise UserError(f"The masker of {file} is not the published network of ADIOS: {first}") from error
    return masker.eval()


def _norm(file: Path) -> Norm:
    place = file.with_name(ARGUMENTS)
    try:
        return NORMS[json.loads(place.read_text())["unet_norm"]]
    except (OSError, ValueError, KeyError, TypeError):
        said = f"{place} does not say whether its masker has group or instance normalization; group is assumed."
        warnings.warn(said, stacklevel=1)
        return "group"


def _own(name: str) -> str:
    """Return our name of a tensor.

    Example:
        >>> [_own(name) for name in ("mask_encoder.up.0.1.bias", "mask_encoder.mlp.3.bias", "mask_head.0.bias")]
        ['up.0.1.bias', 'middle.2.bias', 'score.bias']
    """
    old, new = next((old, new) for old, new in NAMES.items() if name.startswith(old))
    place, dot, rest = name.removeprefix(old).partition(".")
    return new + (MIDDLE.get(place, place) if new == "middle." else place) + dot + rest
