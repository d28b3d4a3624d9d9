"""Refuse to resume a run from a checkpoint of another one, which somebody has copied into its folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from amask_solo.errors import UserError
from amask_solo.hosts.repairs import STATE

LIGHTNING = ("pytorch-lightning_version", "state_dict", "loops", "optimizer_states")
"""What a checkpoint has from which training can go on."""


def read_of_run(path: Path, method: str) -> Mapping[str, Any]:
    """Return what this package says in a checkpoint of a method's training, or raise a ``UserError`` if it is none."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a file that is not a checkpoint may raise anything
        raise _not_of_run(path, "it holds more than tensors and numbers") from error
    if not isinstance(saved, Mapping):
        raise _not_of_run(path, "it has no named entries")
    if missing := [key for key in LIGHTNING if key not in saved]:
        raise _not_of_run(path, f"it has no {', '.join(missing)} to go on with")
    said = saved.get(STATE, {})
    other = said.get("method", method)
    if other != method:
        raise _not_of_run(path, f"its method is {other}, and the run's is {method}")
    return said


@contextmanager
def weights_of_run(path: Path | None) -> Iterator[None]:
    """Convert torch's list of the tensors that do not fit, which may be pages, to a ``UserError`` of one line."""
    try:
        yield
    except RuntimeError as error:
        if path is None or "loading state_dict" not in str(error):
            raise
        raise _not_of_run(path, "its tensors are others than those of the network") from error


def _not_of_run(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is not a checkpoint of this run: {why}. Put the run's own there, or start a new run elsewhere, from "
        f"these weights by init={path}."
    )
