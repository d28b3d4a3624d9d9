"""Reading checkpoints of either generation of the host, stock or masked."""

import hashlib
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import safetensors.torch
import torch
from torch import Tensor

from amask_solo.checkpoints.metadata import ALONE, read_metadata
from amask_solo.errors import UserError
from amask_solo.hosts.architectures import has_cifar_stem, is_backbone
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.repairs import STATE

Checkpoint = Mapping[str, Any]

PLAIN_CLASSES = frozenset(
    {
        ("collections", "OrderedDict"),
        ("collections", "defaultdict"),
        ("torch", "Size"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor_v2"),
    }
)


class _Unread:
    """Stands for an object that is not read: any constructor, any state."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _PlainUnpickler(pickle.Unpickler):
    """Read tensors and containers; leave out other objects, so that no code of the file runs."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in PLAIN_CLASSES or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        return _Unread


def _load_plain(file: IO[bytes], **options: Any) -> Any:
    # The old format, from before zip, is read by this.
    return _PlainUnpickler(file, **options).load()


def read(source: str | Path | Checkpoint) -> dict[str, Any]:
    """Return a checkpoint, on the CPU.

    A bare ``state_dict`` becomes a checkpoint that has nothing else, that of an export knows what its metadata say.
    Stock SimSiam and NNSiam checkpoints hold a scheduler, which ``torch.load`` refuses; it is left
    out.

    Raises:
        UserError: If the file is missing, or holds no tensors by name.
    """
    checkpoint = source if isinstance(source, Mapping) else _load(Path(source))
    if isinstance(checkpoint, Mapping) and "state_dict" not in checkpoint:
        known = {} if isinstance(source, Mapping) else read_metadata(Path(source))
        checkpoint = {"state_dict": checkpoint, **({STATE: known} if known else {})}
    state = checkpoint.get("state_dict") if isinstance(checkpoint, Mapping) else None
    if not _has_tensors_by_name(state):
        where = "the mapping" if isinstance(source, Mapping) else f"'{source}'"
        raise UserError(f"Found no tensors in {where}; expected a checkpoint or a state_dict.")
    return dict(checkpoint)


def _has_tensors_by_name(state: Any) -> bool:
    by_name = isinstance(state, Mapping) and all(isinstance(key, str) for key in state)
    return by_name and any(isinstance(value, Tensor) for value in state.values())


def _load(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"There is no checkpoint '{path}'.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():
            # What torch finds odd about a file that it then refuses.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever it raises, the second reader says it better
        plain = SimpleNamespace(__name__="plain", Unpickler=_PlainUnpickler, load=_load_plain)
    try:
        return torch.load(path, map_location="cpu", weights_only=False, pickle_module=plain)
    except Exception as error:  # whatever a file that is no checkpoint makes the reader do
        raise UserError(f"'{path}' is not a checkpoint that torch can read: {error}") from error


def backbone_state(source: str | Path | Checkpoint) -> dict[str, Tensor]:
    """Return the trained backbone, its keys relative to it; never the momentum backbone.

    Args:
        source: A checkpoint, a ``state_dict``, or the path of one; of either generation. A backbone alone, as
            amask-export writes it, is returned as it is.

    Raises:
        UserError: If there is no backbone in it.
    """
    checkpoint = read(source)
    state = checkpoint["state_dict"]
    if is_backbone(state) or checkpoint.get(STATE, {}).get(ALONE):
        return dict(state)
    for prefix in ("backbone.", "encoder."):
        found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        if found:
            return found
    roots = ", ".join(sorted({key.split(".")[0] for key in state})[:8])
    raise UserError(
        "No tensor of the checkpoint belongs to a backbone: expected keys that start with "
        f"'backbone.' or 'encoder.', but found {roots}."
    )


def teacher_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the momentum backbone, its keys relative to it; nothing if the checkpoint has none."""
    prefixes = ("momentum_backbone.", "momentum_encoder.")
    state = checkpoint["state_dict"]
    return {key.partition(".")[2]: value for key, value in state.items() if key.startswith(prefixes)}


def history(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return by which ``method`` and for how many ``epochs`` a checkpoint was trained, as far as it says so."""
    saved = checkpoint.get(STATE, {})
    known: dict[str, Any] = {"method": saved["method"]} if "method" in saved else {}
    # `checkpoint["epoch"]` is one less if the file was written in the epoch than after it.
    loop = checkpoint.get("loops", {}).get("fit_loop", {})
    if "epoch_progress" in loop:
        known["epochs"] = loop["epoch_progress"]["total"]["processed"]
    return known


def saved_blueprint(checkpoint: Checkpoint, arch: str | None = None) -> Blueprint | None:
    """Return what the backbone was built from, if the checkpoint was written under this plugin.

    Args:
        checkpoint: The checkpoint.
        arch: What the user calls the backbone, which counts; nothing else is known if the checkpoint disagrees.
    """
    saved = checkpoint.get(STATE, {})
    if arch not in (None, saved.get("backbone")):
        return Blueprint(arch, small_stem=has_cifar_stem(backbone_state(checkpoint)))
    name, kwargs = saved.get("backbone"), saved.get("backbone_kwargs", {})
    known = isinstance(name, str) and isinstance(kwargs, Mapping)
    return Blueprint(name, kwargs, bool(saved.get("small_stem"))) if known else None


def fingerprint(checkpoint: Checkpoint) -> str:
    """Return 16 digits that tell one state of the networks from any other."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(checkpoint["state_dict"].items()):
        if isinstance(value, Tensor):
            digest.update(name.encode())
            digest.update(value.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
