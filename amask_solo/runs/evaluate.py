"""An evaluation, from its configuration to ``evaluation.json``."""

import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from amask_solo.callbacks.loggers import finish
from amask_solo.callbacks.summary import device_name, versions
from amask_solo.checkpoints.heads import load_head
from amask_solo.checkpoints.networks import (
    check_size,
    config_of,
    data_settings,
    load_backbone,
    load_masker,
    load_teacher,
    pick_device,
)
from amask_solo.checkpoints.read import Checkpoint, fingerprint, history, read
from amask_solo.checkpoints.view_filter import recorded_filter, spelled, trusted_filter
from amask_solo.configuration import instantiate
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.results import add_result
from amask_solo.hosts.repairs import VIEW_FILTER
from amask_solo.localisers.backbone import lend_backbone
from amask_solo.maskers.base import Masker
from amask_solo.runs.run_folder import Places

Tell = Callable[..., Any]
"""Reports the present activity, ``tell(doing)``, and for long ones the progress, ``tell(doing, how_far)``."""


class Outcome(NamedTuple):
    """The outcome of an evaluation: the new results in the file at ``path``, and why other protocols have none.

    ``view_filter`` is the filter that all views passed, as in training, in words.
    """

    path: Path
    results: list[dict[str, Any]]
    mistakes: dict[str, UserError]
    view_filter: str | None


def evaluate(cfg: DictConfig, places: Places, tell: Tell) -> Outcome:
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
    subject, facts, images = _subject(cfg, file, tell)
    outcome = Outcome(path, [], {}, spelled(facts[VIEW_FILTER]) if facts[VIEW_FILTER] else None)
    # The loggers get their own folder, so that they do not change the curves of the training.
    folder = path.with_suffix("")
    name = f"{folder.absolute().parent.name}_{folder.name}"
    loggers = instantiate(cfg.logger, "logger", save_dir=folder, name=name) if cfg.get("logger") else []
    try:
        for number, (name, protocol) in enumerate(protocols.items(), start=1):
            doing = f"{name} on {subject.data.name} ({number} of {len(protocols)})"
            tell(doing)
            subject.tell = partial(tell, doing)
            start = time.perf_counter()
            try:
                scores = protocol(subject)
            except UserError as error:
                outcome.mistakes[name] = error
                continue
            result = {
                "protocol": name,
                "data": subject.data.name,
                "scores": scores,
                "seconds": round(time.perf_counter() - start, 2),
                "seed": subject.seed,
                "images": images,
                "settings": OmegaConf.to_container(cfg.protocol[name], resolve=True),
            }
            add_result(path, facts, result)
            outcome.results.append(result)
            for logger in loggers:
                logger.log_metrics({f"{name}/{k}": score for k, score in scores.items()}, facts["epochs"])
    finally:
        finish(loggers)
    return outcome


def _protocol(node: DictConfig, where: str) -> Protocol:
    protocol = instantiate(node, where)
    if not isinstance(protocol, Protocol):
        raise UserError(f"{where}: {node._target_} is no subclass of amask_solo.evaluation.protocol.Protocol.")
    return protocol


def _subject(cfg: DictConfig, file: Path, tell: Tell) -> tuple[Subject, dict[str, Any], Any]:
    """Return the subject of the evaluation, the facts about it, and the settings of its images."""
    device = pick_device(cfg.device)
    run, checkpoint = config_of(file, trust=cfg.trust), read(file)
    images, view_filter = data_settings(cfg.get("data"), run), recorded_filter(checkpoint)
    size = None if images.get("image_size") == "auto" else images.get("image_size")
    backbone, arch = load_backbone(checkpoint, cfg.arch, image_size=size)
    masker = _masker(checkpoint, run, partial(load_teacher, checkpoint, arch, image_size=size))
    tell("reading the images")
    data = instantiate(images, "data")
    check_size(backbone, data.image_size)
    subject = Subject(
        backbone=backbone.to(device),
        data=data,
        masker=masker.to(device) if masker else None,
        device=device,
        batch_size=cfg.batch_size,
        seed=cfg.seed,
        view_filter=trusted_filter(view_filter, file, trust=cfg.trust),
        make_head=lambda: _head(checkpoint, run, device),
    )
    facts = {
        "checkpoint": str(file),  # as it was given: results are shared, and folders are private
        "state": fingerprint(checkpoint),
        "method": None,
        "epochs": None,
        **history(checkpoint),
        "arch": arch,
        VIEW_FILTER: view_filter,
        "device": device_name(device),
        "versions": versions(),
    }
    described: Any = OmegaConf.to_container(images, resolve=True)
    return subject, facts, {**described, "image_size": data.image_size}


def _masker(checkpoint: Checkpoint, run: DictConfig | None, teacher: Callable[[], Backbone]) -> Masker | None:
    try:
        masker = load_masker(checkpoint, run)
    except UserError as error:
        # The backbone is intact, and most protocols need no masker.
        warnings.warn(f"Evaluated without its masker. {error}", stacklevel=1)
        return None
    once = cache(teacher)
    if masker:
        lend_backbone(masker, lambda images: once().to(images.device).maps(images))
    return masker


def _head(checkpoint: Checkpoint, run: DictConfig | None, device: torch.device) -> nn.Module | None:
    head = load_head(checkpoint, run)
    return head.to(device) if head else None
