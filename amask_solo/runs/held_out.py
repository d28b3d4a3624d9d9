"""Refuse to score a backbone on images that it was trained on: other settings hold out other ones."""

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.checkpoints.read import Checkpoint
from amask_solo.configuration import instantiate
from amask_solo.data import ImageData, ImageSet
from amask_solo.data.hold_out import places
from amask_solo.errors import UserError, some
from amask_solo.files import expanded
from amask_solo.hosts.repairs import STATE
from amask_solo.runs.as_trained import trained_statistics
from amask_solo.same_images import describe_change
from amask_solo.signatures import path_keys

SEEN_OTHERWISE = {"name", "image_size", "load_size", "mean", "std", "value_range", "bands", "channels"}
SEEN_OTHERWISE |= {"source", "download", "holds", "metric"}
"""The keys of ``data`` that choose no images."""


class TrainedOn:
    """The images that a run was trained on, which are found again by its settings when somebody asks.

    Of a run whose images are not on this machine nothing is known, and nothing is refused.

    Args:
        run: The configuration of the training, if there is one.
        checkpoint: Of the training; newer ones say which images it had.
    """

    def __init__(self, run: DictConfig | None, checkpoint: Checkpoint) -> None:
        self._run, self._checkpoint = run, checkpoint

    def check(self, data: ImageData, node: DictConfig) -> None:
        """Raise a ``UserError`` if an evaluation would score on images that the run was trained on.

        A warning says that the run's images have changed, since others are held out then.

        Args:
            data: The images of the evaluation.
            node: Their settings.
        """
        if self._run is None or data.val is None:
            return
        changed = _changed(node, self._run.data)
        if not changed:
            self._warn_of_change(data)
            return
        same_source = _same_source(node, self._run.data)
        if same_source and self._own is not None:
            self._warn_of_change(self._own)
        shared = self._shared(data.val)
        # Without files, a part of the training images that is held out by other numbers is as good as trained on.
        if shared or (same_source and data.val.files is None and node.get("tune_fraction")):
            count = f"{shared} of {len(data.val)} images" if shared else "images"
            raise UserError(
                "Expected to score on images that the run was not trained on, but with "
                f"{_described(changed, node, self._run.data)} it was trained on {count}; leave this out, or score on "
                "other images."
            )

    def check_other(self, data: ImageData) -> None:
        """Raise a ``UserError`` if other images, which have nothing to do with the run's settings, are trained on."""
        if data.val is not None and (shared := self._shared(data.val)):
            raise UserError(
                f"Expected to score on images that the run was not trained on, but it was trained on {shared} of the "
                f"{len(data.val)} to validate on of '{data.name}'; take a folder with others."
            )

    @cached_property
    def _own(self) -> ImageData | None:
        if self._run is None:
            return None
        known: Mapping[str, Any] = trained_statistics(self._run, self._checkpoint)
        measured = {key: list(value) for key, value in known.items() if key in self._run.data}
        node: Any = OmegaConf.merge(self._run.data, measured)
        with warnings.catch_warnings(action="ignore"):  # the training has said it all
            try:
                return instantiate(node, "data")
            except UserError:
                return None

    @cached_property
    def _places(self) -> frozenset[str]:
        """Where the images lie that were trained on, but for those that the run itself has validated on."""
        if self._own is None:
            return frozenset()
        validated = self._own.val.files if self._own.val else None
        return frozenset(places(self._own.train.files or ())) - frozenset(places(validated or ()))

    def _shared(self, images: ImageSet) -> int:
        return sum(place in self._places for place in places(images.files or ()))

    def _warn_of_change(self, own: ImageData) -> None:
        said = self._checkpoint.get(STATE, {}).get("images", {}).get("fingerprint")
        if said and (change := describe_change(said, own.fingerprint)):
            warnings.warn(
                f"The run's images have changed since it was trained: {change}. If some of them are held out at "
                "random, others are now, which it may have been trained on; then scores are too high.",
                stacklevel=3,
            )


def _changed(node: DictConfig, own: DictConfig) -> list[str]:
    """Return the keys by which an evaluation may have other images than the run."""
    keys = [*dict.fromkeys([*own, *node])]
    return [key for key in keys if key not in SEEN_OTHERWISE and _value(key, node) != _value(key, own)]


def _value(key: str, node: DictConfig) -> Any:
    """Return a setting; of a path, the same for all spellings: with a slash at the end, from the root, or a link."""
    value = node.get(key)
    is_path = isinstance(value, str) and key in path_keys(str(node.get("_target_")))
    return expanded(value).resolve() if is_path else value


def _same_source(node: DictConfig, own: DictConfig) -> bool:
    """Return whether two nodes have the same set, of which they may choose other images."""
    return all(_value(key, node) == _value(key, own) for key in ("_target_", *path_keys(str(own.get("_target_")))))


def _described(changed: list[str], node: DictConfig, own: DictConfig) -> str:
    if "_target_" in changed:
        return "these settings of data"
    return some([f"data.{key}={node.get(key)} instead of {own.get(key)}" for key in changed])
