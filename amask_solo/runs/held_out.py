"""Refuse to score a backbone on images that it was trained on, since other settings hold out other images."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.checkpoints.read import Checkpoint
from amask_solo.configuration import instantiate
from amask_solo.data import ImageData, ImageSet
from amask_solo.data.file_images import FolderImages
from amask_solo.errors import UserError
from amask_solo.files import expanded
from amask_solo.hosts.repairs import STATE
from amask_solo.same_images import describe_change
from amask_solo.signatures import read_declared

DRAWN_BY = ("seed", "labels", "classes", "val_fraction", "tune_fraction", "max_images", "on_error")
"""The keys of ``data`` that decide, beside the folders, which images of a set are held out."""


def check_held_out(data: ImageData, node: DictConfig, run: DictConfig | None, checkpoint: Checkpoint) -> None:
    """Raise a ``UserError`` if an evaluation would score on images that the run trained on.

    The images that the run trained on are found again by its own settings, if those of the evaluation draw others. Of
    images from other folders nothing is known, and nothing is asked. A warning says that the run's images have changed,
    since others are held out then.

    Args:
        data: The images of the evaluation.
        node: Their settings.
        run: The configuration of the training, if there is one.
        checkpoint: Of the training; newer ones say which images it had.
    """
    if run is None or data.val is None or _apart(data.train, data.val):
        return
    changed = _changed(node, run.data)
    if node != run.data and not changed:
        return
    # By the spelling of the evaluation, so that the names of files are the same.
    spelled = {key: node[key] for key in _folders(run.data) if node.get(key) is not None}
    trained_on: Any = OmegaConf.merge(run.data, spelled)
    own = instantiate(trained_on, "data") if changed else data
    said = checkpoint.get(STATE, {}).get("images", {}).get("fingerprint")
    if said and (change := describe_change(said, own.fingerprint)):
        warnings.warn(
            f"The run's images have changed since it was trained: {change}. If some of them are held out at random, "
            "others are now, which it may have been trained on; then scores are too high.",
            stacklevel=2,
        )
    if not changed:
        return
    trained, scored = (images.files or images.names or () for images in (own.train, data.val))
    shared = len({*trained} & {*scored})
    # Without names, a part of the training images that is held out by other numbers is as good as trained on.
    if shared or (not trained and node.get("tune_fraction")):
        keys = ", ".join(f"data.{key}={node.get(key)} instead of {run.data.get(key)}" for key in changed)
        count = f"{shared} of {len(scored)} images" if shared else "images"
        raise UserError(
            f"Expected to score on images that the run was not trained on, but with {keys} it was trained on {count}; "
            "leave this out, or score on images of another folder."
        )


def _changed(node: DictConfig, own: DictConfig) -> list[str]:
    """Return the keys by which an evaluation draws other images from the run's folders; none if those are others."""
    places = {key: (_place(node.get(key)), _place(own.get(key))) for key in _folders(own)}
    if not all(new in (None, old) for new, old in places.values()) or node.get("_target_") != own.get("_target_"):
        return []
    missing = [key for key, (new, old) in places.items() if new != old]
    return missing + [key for key in DRAWN_BY if node.get(key) != own.get(key)]


def _folders(node: DictConfig) -> Sequence[str]:
    return read_declared(str(node.get("_target_")), "FOLDERS") or ()


def _place(folder: str | None) -> Path | None:
    """Return the same place for all spellings of a folder: with a slash at the end, from the root, or by a link."""
    return None if folder is None else expanded(folder).resolve()


def _apart(train: ImageSet, val: ImageSet) -> bool:
    """Return whether the images to validate on have a folder of their own, out of which none is trained on."""
    return isinstance(train, FolderImages) and isinstance(val, FolderImages) and train.root != val.root
