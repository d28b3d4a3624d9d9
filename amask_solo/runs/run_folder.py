"""Find, claim and tidy the folder of a run, so that no run overwrites another; find the files of an evaluation.

Nothing heavy is imported here, because a command checks its folder first. Only the first process of a run may call the
functions that write.
"""

import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amask_solo.checkpoints.last import find_checkpoint, last_whole
from amask_solo.checkpoints.stored import read_stored
from amask_solo.configuration import flat
from amask_solo.errors import UserError
from amask_solo.evaluation.results import EVALUATION, read_results
from amask_solo.files import PART, WriteError, cannot_write, check_place, expanded, write_whole
from amask_solo.layout import CHECKPOINTS, CONFIG, LAST, METRICS, PREVIOUS, SUMMARY, saved
from amask_solo.runs.lock import check_free
from amask_solo.runs.replaced import clear, forget, holds, is_replaced, put_back, recover, set_aside
from amask_solo.settings.pretraining import OBSERVERS
from amask_solo.signatures import path_keys

NAMED = ("report.html", "evaluation", "comparison.json", "masks", "wandb")
WRITTEN = (CONFIG, METRICS, SUMMARY, EVALUATION, CHECKPOINTS, *NAMED)
"""The files that a run and its evaluation write, and that ``overwrite`` deletes; other files in the folder stay."""

AFTERWARDS = {"report.html", "evaluation", EVALUATION, "comparison.json"}
"""Those of them that a run without a checkpoint has only if it had one."""

MAY_CHANGE = ("resume", "overwrite", "trainer", "logger", "loader", "save_every", "run_folder", "name", *OBSERVERS)
"""The keys that may differ when a run is resumed: its place and its observers."""

LEARNS: tuple[str, ...] = ("trainer.gradient_clip_val", "trainer.gradient_clip_algorithm", "trainer.max_steps")
LEARNS += ("trainer.sync_batchnorm",)
"""Keys of ``trainer`` that may not, as they are settings of the learning, or say where its schedules end."""

MEASURED = ("image_size", "mean", "std", "value_range")
"""The keys of ``data`` that may be ``auto``, until the images have been read."""

RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
"""The variables in which launchers set the number of a process or of its machine."""

PLACE = ("MASTER_ADDR", "MASTER_PORT")
"""The variables with the place where the processes of several nodes meet."""


def is_first() -> bool:
    """Return whether this is the first or only process of a run; only a trainer knows this for certain."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def find(cfg: DictConfig) -> tuple[Path, Path | None]:
    """Return the run folder, and the checkpoint to resume from, if any; write nothing.

    Raises:
        UserError: If the folder already has a run, if the run to resume does not exist or has other settings, or if
            there are no weights to start from.
    """
    folder = expanded(cfg.run_folder)
    first = is_first()
    if first:
        check_free(folder)
    last = last_whole(folder, warnings.warn if first else lambda _: None) if cfg.resume else None
    if last is None and cfg.resume is not True:
        # The other processes may start after the first one has claimed the folder.
        if first:
            _refuse_taken(folder, cfg)
        if cfg.get("init"):
            find_checkpoint(cfg.init)
        return folder, None
    if last is None:
        missing = folder / CHECKPOINTS / LAST
        raise UserError(f"Nothing to resume: {missing} does not exist. Check run_folder, or leave out resume=true.")
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"Cannot resume from {last}: {folder / CONFIG} does not exist, which holds the settings of its run. Put it "
            f"back, or start a new run elsewhere from these weights by init={last}."
        )
    check_same_run(folder, cfg)
    return folder, last


def claim(folder: Path, cfg: DictConfig) -> None:
    """Make room for a new run, which may still fail, and write its ``config.yaml``.

    Raises:
        UserError: If the folder already has a run, or cannot be written.
    """
    try:
        recover(folder, WRITTEN)
        _refuse_taken(folder, cfg)
        set_aside(folder, WRITTEN)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        write_whole(folder / CONFIG, OmegaConf.to_yaml(cfg, resolve=True))
    except WriteError:
        put_back(folder, WRITTEN)
        raise


def _refuse_taken(folder: Path, cfg: DictConfig) -> None:
    found = [name for name in WRITTEN if holds(folder / name)]
    if not found or (cfg.overwrite and (CONFIG in found or is_replaced(folder))):
        return
    if CONFIG not in found:
        raise UserError(
            f"{folder} is not the folder of a run, as it has no {CONFIG}, but it has {', '.join(found)}, which a run "
            "would replace. Move this away, or put the run elsewhere by name=... or run_folder=..."
        )
    has_checkpoint = bool(saved(folder))
    if cfg.resume and not has_checkpoint and not AFTERWARDS & {*found}:
        # The present run ended before its first checkpoint, so nothing is lost if its settings are the same.
        check_same_run(folder, cfg)
        return
    resume = "resume=true continues it" if has_checkpoint else "It has no checkpoint to resume from"
    raise UserError(
        f"{folder} already holds a run. {resume}, overwrite=true replaces it, name=... or run_folder=... puts this "
        "one elsewhere."
    )


def tidy(folder: Path, checkpoint: Path | None) -> None:
    """Delete the unfinished files of a killed process, and a broken ``last.ckpt``.

    If the ``checkpoint`` to resume from is the previous one, the next save would replace it by the broken last one.
    """
    parts = [*(folder / CHECKPOINTS).glob(f".*{PART}")]
    broken = [checkpoint.with_name(LAST)] if checkpoint and checkpoint.name == PREVIOUS else []
    for file in parts + broken:
        file.unlink(missing_ok=True)


def release(folder: Path) -> None:
    """Release a claimed folder, unless something was trained: delete what the run has left, and put an old one back.

    An old run is worth more than numbers of a first epoch without a checkpoint.
    """
    has_metrics = (folder / METRICS).exists() and not is_replaced(folder)
    if has_metrics or (folder / CHECKPOINTS / LAST).exists():
        forget(folder)
        return
    with suppress(OSError):  # The error that ends the run says more.
        clear(folder, WRITTEN)
        put_back(folder, WRITTEN)


LEFT_OUT = {"adversary.share": 1.0, "adversary.optimizer.lr": 1e-3}
"""What the adversary's classes take for keys that a configuration leaves out; earlier versions left out more."""


def check_same_run(folder: Path, cfg: DictConfig) -> None:
    """Compare the settings of a run with those of the run in a folder, and copy what the latter has measured.

    Raises:
        UserError: If a key differs that is not in :data:`MAY_CHANGE`, or is in :data:`LEARNS`.
    """
    stored = read_stored(folder / CONFIG)
    # A version before this one did not store all of them.
    settle(cfg, {key: stored.data[key] for key in MEASURED if key in stored.get("data", ())})
    plain: Any = [OmegaConf.to_container(stored), OmegaConf.to_container(cfg, resolve=True)]
    before, now = (LEFT_OUT | flat(settings) for settings in plain)
    # An older version had no such key, and its images were of 8 bits or took the full range.
    before = {key: "auto" for key in ["data.value_range"] if now.get(key) == "auto"} | before
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and _decides(key))
    if changed:
        shown = ", ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed[:5])
        raise UserError(
            f"The run in {folder} had other settings ({shown}). Resume it with its own, which are in "
            f"{folder / CONFIG}, or start a new run under another name=..., from its weights by init={folder}."
        )
    precision, other = (settings.get("trainer.precision") for settings in (before, now))
    if precision != other and is_first():
        warnings.warn(
            f"The run goes on with trainer.precision={other} instead of {precision}, so it will not end as an "
            "undisturbed run does.",
            stacklevel=2,
        )


def _decides(key: str) -> bool:
    """Return whether a key decides what a run learns, and not only where and how it is made."""
    return key in LEARNS or key.partition(".")[0] not in MAY_CHANGE


def learned_by(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings that decide what a run learns; where its images are, machines may know by other paths."""
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    paths = {f"data.{key}" for key in path_keys(cfg.data._target_)}
    return {key: value for key, value in flat(settings).items() if _decides(key) and key not in paths}


def settle(cfg: DictConfig, measured: Mapping[str, Any]) -> list[str]:
    """Set each key of ``data`` that is ``auto`` to its measured value, and return these keys."""
    keys = [key for key, value in measured.items() if cfg.data.get(key) == "auto" and value is not None]
    for key in keys:
        cfg.data[key] = list(measured[key]) if isinstance(measured[key], tuple) else measured[key]
    return keys


def find_places(cfg: DictConfig) -> tuple[Path, Path]:
    """Return the checkpoint of an evaluation and the file for its results.

    Raises:
        UserError: If there is no checkpoint, or the results cannot be written.
    """
    given, file = expanded(cfg.ckpt), find_checkpoint(cfg.ckpt)
    beside = given / EVALUATION if given.is_dir() else file.with_name(f"{file.stem}_evaluation.json")
    path = expanded(cfg.output) if cfg.output else beside
    if path.suffix != ".json":
        # Files that protocols leave go to a folder of the same name without the suffix.
        raise UserError(f"Expected output to be a file .json, but got {cfg.output}; add the suffix.")
    check_place(path, "output")
    read_results(path)
    return file, path
