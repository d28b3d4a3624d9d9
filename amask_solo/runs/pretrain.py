"""A pretraining run, from its configuration to its summary."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LambdaCallback
from lightning.pytorch.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException
from omegaconf import DictConfig, OmegaConf

from amask_solo.augment.views import Views, evaluation_crop
from amask_solo.callbacks.advantage_monitor import AdvantageMonitor
from amask_solo.callbacks.checkpoints import checkpoints
from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.callbacks.loggers import begin, finish
from amask_solo.callbacks.online_knn import OnlineKNN
from amask_solo.callbacks.panels import HardViewPanels, MaskPanels
from amask_solo.callbacks.processes import OwnStates
from amask_solo.callbacks.progress import Beginning, progress_bar, tell
from amask_solo.callbacks.signals import EndAtSignal
from amask_solo.callbacks.summary import Summary
from amask_solo.checkpoints.last import find_checkpoint
from amask_solo.checkpoints.of_run import read_of_run, weights_of_run
from amask_solo.checkpoints.start import start_from
from amask_solo.checkpoints.view_filter import build_filter
from amask_solo.checkpoints.write import WholeCheckpoints, check_space
from amask_solo.configuration import instantiate
from amask_solo.data import ImageData
from amask_solo.data.base import random_sample
from amask_solo.data.subsets import labeled_places
from amask_solo.errors import UserError
from amask_solo.files import WriteError
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import by_class
from amask_solo.layout import CHECKPOINTS, LAST, SUMMARY
from amask_solo.maskers.objects import lend_objects
from amask_solo.runs.datamodule import ResumeWithinEpoch, ViewsData, check_same_images
from amask_solo.runs.host_config import host_config, method_class
from amask_solo.runs.lock import hold
from amask_solo.runs.page import write_run_page
from amask_solo.runs.peers import SameSettings, end_together, meet
from amask_solo.runs.replaced import forget
from amask_solo.runs.run_folder import MEASURED, claim, learned_by, release, settle, tidy
from amask_solo.settings.pretraining import check_views


def pretrain(cfg: DictConfig, folder: Path, checkpoint: Path | None = None) -> dict[str, Any]:
    """Pretrain one method on one data set, and return the content of ``summary.json``.

    Args:
        cfg: The composed configuration, as in ``configs/pretrain.yaml``, checked by
            :func:`~amask_solo.settings.pretraining.check_values_and_names`.
        folder: The run folder from :func:`~amask_solo.runs.run_folder.find`.
        checkpoint: The checkpoint of a resumed run.

    Raises:
        UserError: If a setting, a path or a file is wrong.
    """
    same = SameSettings(learned_by(cfg))  # before anything is measured, which another machine may do otherwise
    method = method_class(cfg.method, cfg.base_class)
    seed_everything(cfg.seed, workers=True, verbose=False)
    images: ImageData = instantiate(cfg.data, "data")
    if "image_size" in settle(cfg, {key: getattr(images, key, None) for key in MEASURED}):
        check_views(cfg)
    if checkpoint:
        check_same_images(read_of_run(checkpoint, cfg.method), images)
    augmentations: Any = OmegaConf.to_container(cfg.augmentations, resolve=True)
    view_filter = build_filter(cfg.get("view_filter"))
    views = Views(augmentations, mean=images.mean, std=images.std, view_filter=view_filter)
    data = ViewsData(images, views, batch_size=cfg.optimizer.batch_size, seed=cfg.seed, **cfg.loader)
    given: Any = OmegaConf.to_container(cfg.trainer, resolve=True)
    with lightning_errors(TypeError):
        end = EndAtSignal(folder / CHECKPOINTS / LAST, given.pop("max_time", None))
    trainer = _trainer(cfg, folder, [same, *_callbacks(cfg, folder, data, by_class(method).first_epoch), end], given)
    model = _build(method, host_config(cfg, images, views, devices=trainer.world_size))
    _lend_objects(model, data)
    first = trainer.is_global_zero
    if cfg.get("init") and checkpoint is None:
        said = start_from(model, find_checkpoint(cfg.init))
        if first:
            tell(said)
    try:
        with hold(folder) if first else nullcontext():
            _train(cfg, folder, checkpoint, trainer=trainer, model=model, data=data)
    except SIGTERMException:
        # This comes after the lock, since a command that continues the run at once must find the folder free.
        end.leave(first=first)
    if not first:
        return {}
    write_run_page(folder)
    return json.loads((folder / SUMMARY).read_text())


def _train(cfg: DictConfig, folder: Path, checkpoint: Path | None, *, trainer: Trainer, **parts: Any) -> None:
    # Two more exist: the one before the last, and the one that is being written.
    check_space(folder / CHECKPOINTS, parts["model"], copies=len(trainer.checkpoint_callbacks) + 2)
    if trainer.is_global_zero and checkpoint is None:
        claim(folder, cfg)
    try:
        trainer.loggers = instantiate(cfg.logger, "logger", save_dir=folder, name=cfg.name)
        _fit(trainer, folder, checkpoint, **parts)
    except BaseException as error:
        if trainer.is_global_zero and checkpoint is None:
            release(folder)
        if isinstance(error, WriteError) and (folder / CHECKPOINTS / LAST).exists():
            raise UserError(f"{error} The last checkpoint is whole: make room and give resume=true.") from error
        if isinstance(error, SystemExit) and isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error  # Lightning has made a common failure of it
        raise
    if trainer.is_global_zero:
        forget(folder)


def _fit(trainer: Trainer, folder: Path, checkpoint: Path | None, *, model: LightningModule, data: ViewsData) -> None:
    try:
        if trainer.is_global_zero:
            tidy(folder, checkpoint)
        with lightning_errors(), end_together(trainer), weights_of_run(checkpoint):
            trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
    finally:
        finish(trainer.loggers)


def _trainer(cfg: DictConfig, folder: Path, chosen: list[Callback], given: dict[str, Any]) -> Trainer:
    # A job of SLURM may use torchrun.
    in_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    with lightning_errors(ValueError, TypeError, ImportError, RuntimeError):
        # `EndAtSignal` handles the signals of SLURM.
        slurm = [SLURMEnvironment(auto_requeue=False)] if in_slurm else []
        trainer = Trainer(
            **given,
            max_epochs=cfg.max_epochs,
            accumulate_grad_batches=cfg.accumulate_grad_batches,
            default_root_dir=folder,
            logger=False,
            callbacks=chosen,
            plugins=[WholeCheckpoints(), *slurm],
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_model_summary=False,
        )
        for environment in slurm:
            # Lightning would only check this when training starts, and not at all in a single process.
            environment.validate_settings(trainer.num_devices, trainer.num_nodes)
    if cfg.trainer.get("sync_batchnorm") and trainer.world_size > 1 and trainer.strategy.root_device.type == "cpu":
        raise UserError("trainer.sync_batchnorm works on GPUs only; on CPUs give trainer.sync_batchnorm=false.")
    meet(trainer)
    return trainer


@contextmanager
def lightning_errors(*more: type[Exception]) -> Iterator[None]:
    """Convert Lightning's errors about settings, and the given ones, to ``UserError``."""
    complaints: tuple[type[Exception], ...] = (MisconfigurationException, *more)
    try:
        yield
    except complaints as error:
        raise UserError(f"trainer: {error}") from error


def _build(method: type[LightningModule], cfg: DictConfig) -> LightningModule:
    try:
        model = method(cfg)
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        for node in ("backbone.kwargs", "method_kwargs"):
            if unknown and unknown[1] in (OmegaConf.select(cfg, node) or ()):
                raise UserError(f"{node}: {cfg.method} with {cfg.backbone.name} takes no '{unknown[1]}'.") from error
        raise
    if not getattr(model, "no_channel_last", True):
        return model.to(memory_format=torch.channels_last)
    return model


def _lend_objects(model: LightningModule, data: ViewsData) -> None:
    """Let the maskers that show objects know those of the data; raise a ``UserError`` if there are none."""
    data.finds_objects = lend_objects(model, data.objects)
    if data.finds_objects and data.images.train.masks is None:
        raise UserError(
            f"masker=objects hides the objects that the data mark, and {data.images.name} has no masks of any; choose "
            "data=image_masks, or another masker."
        )


def _callbacks(cfg: DictConfig, folder: Path, data: ViewsData, first_epoch: int) -> list[Callback]:
    images = data.images
    parts = [part for part in (images.train, images.val) if part is not None and len(labeled_places(part.labels))]
    measured = cfg.online_knn and images.labeled and len(parts) == 2
    # After an epoch all images have been read, so what ends a run at once is behind it.
    begun = LambdaCallback(
        on_train_start=lambda trainer, _: begin(trainer.loggers, trainer.global_step),
        on_train_epoch_end=lambda trainer, _: forget(folder) if trainer.is_global_zero else None,
    )
    chosen: list[Callback] = [OwnStates(), ResumeWithinEpoch(), GameMonitor(), begun]
    if cfg.advantage:
        chosen.append(AdvantageMonitor(every=cfg.advantage))
    if measured:
        use: dict[str, Any] = {"load": data.still_batches, "prepare": data.prepare, "backbone": load_host().backbone}
        chosen.append(OnlineKNN(*parts, **use, every_n_epochs=cfg.online_knn))
    if cfg.mask_panels:
        shown = images.val or images.train
        picks = random_sample(len(shown), 8).tolist()
        sample = evaluation_crop(torch.stack([shown.image(place) for place in picks]), images.image_size)
        drawn = {"mean": images.mean, "std": images.std, "folder": folder / "masks", "every": cfg.mask_panels}
        chosen += [MaskPanels(sample, view_filter=data.views.view_filter, **drawn), HardViewPanels(**drawn)]
    # The bar shows the numbers of the other callbacks, so it comes after them.
    facts = _facts(cfg, images)
    bar = [] if cfg.trainer.get("enable_progress_bar") is False else [progress_bar(first_epoch=first_epoch)]
    chosen += [Summary(folder, facts), Beginning(facts), *bar]
    monitor = "val_knn_acc1" if measured else None
    every = {"every_n_epochs": cfg.online_knn or 1, "save_every": cfg.save_every}
    return [*chosen, *checkpoints(folder / CHECKPOINTS, monitor=monitor, **every)]


READ = ("value_range", "bands", "object_share", "fingerprint")
"""What a summary says of the images if it is known."""


def _facts(cfg: DictConfig, images: ImageData) -> dict[str, Any]:
    backbone_kwargs = (cfg.backbone.get("kwargs") or {}).items()
    return {
        "method": cfg.method,
        "data": images.name,
        "train_images": len(images.train),
        "val_images": len(images.val) if images.val is not None else 0,
        "classes": images.num_classes if images.labeled else 0,
        "image_size": images.image_size,
        "mean": images.mean,
        "std": images.std,
        **{key: found for key in READ if (found := getattr(images, key)) is not None},
        "backbone": " ".join([cfg.backbone.name, *(f"{key}={value}" for key, value in backbone_kwargs)]),
        "epochs": cfg.max_epochs,
        "batch_size": cfg.optimizer.batch_size,
        "seed": cfg.seed,
        "init": cfg.get("init"),
        "host": load_host().generation,
    }
