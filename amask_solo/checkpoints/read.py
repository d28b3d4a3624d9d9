"""Read checkpoints of both generations of the host, stock or masked."""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import safetensors.torch
import torch
from torch import Tensor

from amask_solo.checkpoints.foreign import below, by_children, find_prefix, flat
from amask_solo.errors import UserError
from amask_solo.hosts.architectures import FAMILIES, has_cifar_stem
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.exported import ALONE, read_metadata
from amask_solo.hosts.repairs import STATE

Checkpoint = Mapping[str, Any]

PLAIN_CLASSES = {("collections", "OrderedDict"), ("collections", "defaultdict"), ("torch", "Size")} | {
    ("torch._utils", name) for name in ("_rebuild_parameter", "_rebuild_tensor_v2")
}


class _Unread:
    """A placeholder for an object that is not read; it accepts any arguments and any state."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


class _PlainUnpickler(pickle.Unpickler):
    """Read tensors and containers, and replace other objects by placeholders, so that no code of the file runs."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in PLAIN_CLASSES or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        return _Unread


def _load_plain(file: IO[bytes], **options: Any) -> Any:
    # torch calls this for its old format, from before zip archives.
    return _PlainUnpickler(file, **options).load()


def read(source: str | Path | Checkpoint) -> dict[str, Any]:
    """Return a checkpoint, on the CPU.

    A bare ``state_dict`` becomes a checkpoint without other entries; an export also has the entries of its metadata.
    Checkpoints of stock SimSiam and NNSiam contain a scheduler, which ``torch.load`` refuses and which is left out.

    Raises:
        UserError: If the file is missing, or contains no named tensors, or if its metadata are about other ones.
    """
    checkpoint = source if isinstance(source, Mapping) else _load(Path(source))
    if isinstance(checkpoint, Mapping) and "state_dict" not in checkpoint:
        tensors = dict(flat(checkpoint))
        known = {} if isinstance(source, Mapping) else read_metadata(Path(source), tensors)
        checkpoint = {"state_dict": tensors, **({STATE: known} if known else {})}
    state = checkpoint.get("state_dict") if isinstance(checkpoint, Mapping) else None
    if (
        not isinstance(state, Mapping)
        or not all(isinstance(key, str) for key in state)
        or not any(isinstance(value, Tensor) for value in state.values())
    ):
        where = "the mapping" if isinstance(source, Mapping) else f"'{source}'"
        raise UserError(f"Found no tensors in {where}; expected a checkpoint or a state_dict.")
    return dict(checkpoint)


def _load(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"There is no checkpoint '{path}'.")
    with warnings.catch_warnings(action="ignore"):  # torch may warn about a file before it refuses it
        try:
            if path.suffix == ".safetensors":
                return safetensors.torch.load_file(path)
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception:  # the second reader has the better messages
            plain = SimpleNamespace(__name__="plain", Unpickler=_PlainUnpickler, load=_load_plain)
        try:
            return torch.load(path, map_location="cpu", weights_only=False, pickle_module=plain)
        except Exception as error:  # a file that is not a checkpoint may raise anything
            raise UserError(f"'{path}' is not a checkpoint that torch can read: {error}") from error


def backbone_state(source: str | Path | Checkpoint) -> dict[str, Tensor]:
    """Return the tensors of the trained backbone (not the momentum backbone), with names relative to it.

    Args:
        source: A checkpoint of either generation of the host, a ``state_dict``, or the path of one. The tensors of an
            export are returned unchanged.

    Raises:
        UserError: If there is no backbone in it.
    """
    checkpoint = read(source)
    state = checkpoint["state_dict"]
    if checkpoint.get(STATE, {}).get(ALONE):
        return dict(state)
    inside = ({k.removeprefix(p): v for k, v in state.items() if k.startswith(p)} for p in ("backbone.", "encoder."))
    own = next(filter(None, inside), None)
    if own and (STATE in checkpoint or any(mark in own for mark in FAMILIES)):
        return own if STATE in checkpoint else below(own, "")
    for named in (state, by_children(state)):
        if (prefix := find_prefix(named, FAMILIES)) is not None:
            return below(named, prefix)
    if own:
        return own
    roots = ", ".join(sorted({key.split(".")[0] for key in state})[:8])
    raise UserError(
        "No tensor of the checkpoint belongs to a backbone: expected keys that start with "
        f"'backbone.' or 'encoder.', but found {roots}."
    )


def teacher_state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors of the momentum backbone, with names relative to it; empty if there is none."""
    prefixes = ("momentum_backbone.", "momentum_encoder.")
    state = checkpoint["state_dict"]
    return {key.partition(".")[2]: value for key, value in state.items() if key.startswith(prefixes)}


def with_teacher(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint with its momentum backbone as its backbone, or raise a ``UserError`` if it has none."""
    state = {f"backbone.{name}": tensor for name, tensor in teacher_state(checkpoint).items()}
    if not state:
        method = checkpoint.get(STATE, {}).get("method", "of the checkpoint")
        raise UserError(f"which=teacher: the method {method} has no momentum backbone; leave which out.")
    return {**checkpoint, "state_dict": state}


def images_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what a checkpoint or an export says of the images of its training: ``image_size``, ``mean`` and so on."""
    said = checkpoint.get(STATE, {}).get("images", {})
    return {key: value for key, value in said.items() if key != "fingerprint"}


def history(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the ``method`` and the number of ``epochs`` of a checkpoint's training, as far as it has them."""
    saved = checkpoint.get(STATE, {})
    known: dict[str, Any] = {"method": saved["method"]} if "method" in saved else {}
    # `checkpoint["epoch"]` is one less if the file was written within the epoch instead of after it.
    loop = checkpoint.get("loops", {}).get("fit_loop", {})
    if "epoch_progress" in loop:
        known["epochs"] = loop["epoch_progress"]["total"]["processed"]
    return known


def saved_blueprint(checkpoint: Checkpoint, arch: str | None = None) -> Blueprint | None:
    """Return the description of the backbone, if the checkpoint was written by this plugin.

    The user's ``arch`` takes precedence; if the checkpoint has another name, the rest of its description is ignored.
    """
    saved = checkpoint.get(STATE, {})
    if arch not in (None, saved.get("backbone")):
        return Blueprint(arch, small_stem=has_cifar_stem(backbone_state(checkpoint)))
    name, kwargs = saved.get("backbone"), saved.get("backbone_kwargs", {})
    known = isinstance(name, str) and isinstance(kwargs, Mapping)
    return Blueprint(name, kwargs, bool(saved.get("small_stem"))) if known else None
