"""An evaluation, from its configuration to ``evaluation.json``."""

import os
import time
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from amask_solo.callbacks.loggers import finish
from amask_solo.callbacks.summary import device_name
from amask_solo.checkpoints.adios import load_adios_masker
from amask_solo.checkpoints.networks import (
    config_of,
    data_settings,
    load_backbone,
    load_head,
    load_masker,
    load_teacher,
    pick_device,
)
from amask_solo.checkpoints.read import Checkpoint, history, read, with_teacher
from amask_solo.checkpoints.view_filter import recorded_filter, spelled, trusted_filter
from amask_solo.configuration import instantiate
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone, fit_size
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.results import EVALUATION, add_result, beside, pack, read_results
from amask_solo.hosts.architectures import resample_positions
from amask_solo.hosts.exported import fingerprint
from amask_solo.hosts.repairs import VIEW_FILTER
from amask_solo.layout import CONFIG, SUMMARY
from amask_solo.localisers.backbone import lend_backbone
from amask_solo.maskers.base import Masker, masks_anything
from amask_solo.runs.as_trained import load_as_trained, trained_size
from amask_solo.runs.held_out import TrainedOn
from amask_solo.runs.page import write_run_page
from amask_solo.versions import versions

Tell = Callable[..., Any]
"""Reports the present activity, ``tell(doing)``, and for long ones the progress, ``tell(doing, how_far)``."""


class Outcome(NamedTuple):
    """The outcome of an evaluation.

    Attributes:
        path: The file with all results.
        results: The new results, as they are in the file.
        main_scores: ``PROTOCOL/SCORE`` -> the main score of each.
        mistakes: Protocol -> the reason why it has no result.
        view_filter: The filter that all views passed, as in training, in words.
        said: What was evaluated, in words: the backbone, and how its images were read and normalized.
    """

    path: Path
    results: list[dict[str, Any]]
    main_scores: dict[str, float]
    mistakes: dict[str, UserError]
    view_filter: str | None
    said: str


def evaluate(cfg: DictConfig, places: tuple[Path, Path], tell: Tell) -> Outcome:
    """Run protocols on a checkpoint, and write each result as soon as it is there.

    Args:
        cfg: The composed configuration, as in ``configs/evaluate.yaml``, checked by
            :func:`~amask_solo.settings.evaluation.check_evaluation`.
        places: The checkpoint, and the file for the results.
        tell: Called with a few words before each part of the work, and during long parts.

    Raises:
        UserError: If a setting, the checkpoint or the data are wrong. A mistake in one protocol goes to the outcome.
    """
    protocols = {name: _protocol(node, f"protocol.{name}") for name, node in cfg.protocol.items()}
    file, path = places
    tell("reading the checkpoint")
    subject, facts, made_by, said = _subject(cfg, file, tell)
    if cfg.output:
        _refuse_others(path, facts)
    outcome = Outcome(path, [], {}, {}, spelled(facts[VIEW_FILTER]) if facts[VIEW_FILTER] else None, said)
    # The loggers get their own folder, so that they do not change the curves of the training.
    folder = path.with_suffix("")
    subject.folder = folder / "teacher" if cfg.which == "teacher" else folder
    name = f"{folder.absolute().parent.name}_{folder.name}"
    loggers = instantiate(cfg.logger, "logger", save_dir=folder, name=name) if cfg.get("logger") else []
    try:
        for number, (name, protocol) in enumerate(protocols.items(), start=1):
            doing = f"{name} on {subject.data.name} ({number} of {len(protocols)})"
            tell(doing)
            subject.tell = partial(tell, doing)
            others = beside(read_results(path), facts, {"protocol": name, "data": subject.data.name, **made_by})
            subject.taken = {path.parent / file for other in others for file in other.get("files", ())}
            try:
                settings = OmegaConf.to_container(cfg.protocol[name], resolve=True)
                result = _result(name, protocol, subject, **made_by, settings=settings)
            except UserError as error:
                outcome.mistakes[name] = error
                continue
            if files := [file.relative_to(path.parent).as_posix() for file in subject.written]:
                result["files"] = files
            add_result(path, facts, result)
            outcome.results.append(result)
            outcome.main_scores.update(main_score(name, protocol, result["scores"]))
            for logger in loggers:
                logger.log_metrics({f"{name}/{k}": score for k, score in result["scores"].items()}, facts["epochs"])
    finally:
        finish(loggers)
    if outcome.results and path.absolute() == file.absolute().parent.parent / EVALUATION:
        _add_to_page(path.parent)
    return outcome


def _refuse_others(path: Path, facts: Mapping[str, Any]) -> None:
    """Raise a ``UserError`` if a file has the results of another checkpoint, which a new one would replace."""
    kept = read_results(path)
    if not kept or kept.get("state") == facts["state"]:
        return
    name = kept.get("checkpoint", facts["checkpoint"])
    # Results of versions before this one have no place, but a path from the working directory of then.
    if kept.get("place", _place(Path(name))) != facts["place"]:
        raise UserError(f"{path} has the scores of another checkpoint, {name}. Give output=... another name.")


def _place(file: Path) -> str:
    """Return what tells the place of a file from any other one, and not the names of its folders."""
    return sha256(os.fsencode(file.resolve())).hexdigest()[:16]


def _add_to_page(folder: Path) -> None:
    """Write the page of a finished run again, with its evaluation."""
    if (folder / SUMMARY).is_file() and (folder / CONFIG).is_file():
        try:
            write_run_page(folder)
        except (UserError, OSError, ValueError, KeyError) as error:
            warnings.warn(f"{folder / 'report.html'} is as it was before: {error}", stacklevel=1)


def _result(name: str, protocol: Protocol, subject: Subject, **made_by: Any) -> dict[str, Any]:
    start = time.perf_counter()
    subject.right.clear()
    subject.written.clear()
    scores = protocol(subject)
    return {
        "protocol": name,
        "data": subject.data.name,
        "scores": scores,
        "correct": {name: pack(right.cpu().numpy()) for name, right in subject.right.items() if name in scores},
        "seconds": round(time.perf_counter() - start, 2),
        "seed": subject.seed,
        **made_by,
    }


def main_score(name: str, protocol: Protocol, scores: Mapping[str, float]) -> dict[str, float]:
    """Return the score that stands for all of a protocol, as ``PROTOCOL/SCORE``; nothing if there is none.

    Example:
        >>> from amask_solo.evaluation import Robustness
        >>> main_score("robustness", Robustness(), {"acc1": 50.0, "acc1_curve": 40.0})
        {'robustness/acc1_curve': 40.0}
        >>> main_score("robustness", Robustness(areas=[]), {"acc1": 50.0})
        {'robustness/acc1': 50.0}
    """
    main = protocol.main if protocol.main in scores else next(iter(scores), None)
    return {} if main is None else {f"{name}/{main}": scores[main]}


def _protocol(node: DictConfig, where: str) -> Protocol:
    protocol = instantiate(node, where)
    if not isinstance(protocol, Protocol):
        raise UserError(f"{where}: {node._target_} is no subclass of amask_solo.evaluation.protocol.Protocol.")
    return protocol


def _subject(cfg: DictConfig, file: Path, tell: Tell) -> tuple[Subject, dict[str, Any], dict[str, Any], str]:
    """Return the subject of the evaluation, the facts about it, what belongs to each result, and what is evaluated."""
    device = pick_device(cfg.device)
    run, checkpoint = config_of(file, trust=cfg.trust), read(file)
    images, view_filter = data_settings(cfg.get("data"), run), recorded_filter(checkpoint)
    size = None if images.get("image_size") == "auto" else images.get("image_size")
    scored = with_teacher(checkpoint) if cfg.which == "teacher" else checkpoint
    backbone, arch = load_backbone(scored, cfg.arch, image_size=size)
    tell("reading the images")
    found = load_as_trained(images, cfg.get("data"), run, checkpoint)
    trained_on = TrainedOn(run, checkpoint)
    trained_on.check(found.data, images)
    before = fit_size(backbone, found.data.image_size, len(found.data.mean))
    masker = _masker(file, checkpoint, run, partial(_teacher, checkpoint, arch, found.data.image_size))
    subject = Subject(
        backbone=backbone.to(device),
        data=found.data,
        reading=found.reading,
        refuse_trained=trained_on.check_other,
        masker=masker.to(device) if masker else None,
        device=device,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        view_filter=trusted_filter(view_filter, file, trust=cfg.trust),
        # The projector is the student's.
        make_head=lambda: load_head(checkpoint, run) if cfg.which == "student" else None,
    )
    facts = {
        "checkpoint": str(file),  # as it was given: results are shared, and folders are private
        "place": _place(file),
        "state": fingerprint(checkpoint["state_dict"]),
        "method": None,
        "epochs": None,
        **history(checkpoint),
        "arch": arch,
        VIEW_FILTER: view_filter,
        "device": device_name(device),
        "versions": versions(),
    }
    made_by: dict[str, Any] = {"images": found.settings, "normalized_by": found.normalized_by}
    said = f"Scored the {cfg.which}'s backbone, with the mean and standard deviation of {found.normalized_by}."
    held_out = len(found.data.val) if found.data.val else "none"
    said += f" {found.data.name} has {len(found.data.train)} images to learn from and {held_out} to score."
    # Results of versions before this one are the student's as well, and say nothing.
    made_by |= {"which": cfg.which} if cfg.which != "student" else {}
    if before:
        made_by["trained_size"] = before
        said += f" Its positions, for {before} px, were resampled to {found.data.image_size} px."
    elif (size := trained_size(run, checkpoint)) not in (None, found.data.image_size):
        said += f" Its views have {found.data.image_size} px, and had {size} px in training."
    return subject, facts, made_by, f"{said} {found.said}".strip()


def _teacher(checkpoint: Checkpoint, arch: str, image_size: int) -> Backbone:
    teacher = load_teacher(checkpoint, arch, image_size=image_size)
    resample_positions(teacher.model, image_size)
    return teacher


def _masker(
    file: Path, checkpoint: Checkpoint, run: DictConfig | None, teacher: Callable[[], Backbone]
) -> Masker | None:
    try:
        masker = load_masker(checkpoint, run) or load_adios_masker(checkpoint, file)
    except UserError as error:
        # The backbone is intact, and most protocols need no masker.
        warnings.warn(f"Evaluated without its masker. {error}", stacklevel=1)
        return None
    if masker is None or not masks_anything(masker):
        return None
    once = cache(teacher)
    lend_backbone(masker, lambda images: once().to(images.device).maps(images))
    return masker
