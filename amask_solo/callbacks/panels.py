"""Draw masks and hard views after epochs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from amask_solo.augment.views import Filter
from amask_solo.callbacks.epochs import batches_of_epoch, is_due, number_of_epochs
from amask_solo.maskers.base import masks_anything
from amask_solo.maskers.random import NoMasks
from amask_solo.visualization.panels import denormalize, hard_view_panel, mask_panel, save_panel

MAX_UPLOADS = 20


class MaskPanels(Callback):
    """Write ``epoch_0000.png`` before training, and a picture of the same images after each epoch.

    There are no pictures for a method without an adversary, or with a masker that hides nothing.

    Args:
        images: Some uint8 images, ``(B, 3, H, W)``; the first eight are drawn.
        mean: Mean of each channel for normalization.
        std: Standard deviation of each channel.
        view_filter: The filter that the views of the run pass last.
        folder: The folder of the pictures. wandb gets a copy of at most 20 of them, evenly spread over the run.
        every: The number of epochs between two pictures; the last epoch always gets one.
    """

    def __init__(
        self,
        images: Tensor,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        view_filter: Filter | None = None,
        folder: str | Path,
        every: int = 1,
    ) -> None:
        self.images = images[:8].float() / 255
        self.mean, self.std, self.view_filter = tuple(mean), tuple(std), view_filter
        self.folder, self.every = Path(folder), every

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the masks before the first step; a resumed run has this picture already."""
        if trainer.global_step == 0:
            self._draw(trainer, pl_module, epoch=0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the masks after an epoch."""
        if is_due(trainer, every=self.every):
            self._draw(trainer, pl_module, epoch=trainer.current_epoch + 1)

    def _draw(self, trainer: Trainer, pl_module: LightningModule, *, epoch: int) -> None:
        adversary = getattr(pl_module, "adversary", None)
        if adversary is None or not trainer.is_global_zero:
            return
        if isinstance(adversary.masker, NoMasks) or not masks_anything(adversary.masker):
            return
        mean, std = (torch.tensor(x).view(-1, 1, 1) for x in (self.mean, self.std))
        view = ((self.images - mean) / std).to(pl_module.device)
        view = self.view_filter(view) if self.view_filter else view
        # The random numbers are the same each time, so that pictures only differ by what the masker has learned.
        generator = torch.Generator(pl_module.device).manual_seed(0)
        with trainer.precision_plugin.forward_context():
            preview = adversary.preview(view, generator=generator)
        hidden = denormalize(preview.hidden.float(), self.mean, self.std)
        path = self.folder / f"epoch_{epoch:04d}.png"
        save_panel(mask_panel(self.images, preview.masks, hidden, title=f"epoch {epoch}"), path)
        _upload(trainer, "masks/panel", path, epoch=epoch, every=self.every)


class HardViewPanels(Callback):
    """Write ``hard_views_0001.png`` after each epoch: the hard views of its last batch, and what makes them hard.

    There are no pictures for a method without hard views. Drawing has no side effects, but repeats the calls of an
    attack. The arguments are those of :class:`MaskPanels`.
    """

    def __init__(self, *, mean: Sequence[float], std: Sequence[float], folder: str | Path, every: int = 1) -> None:
        self.mean, self.std, self.folder, self.every = tuple(mean), tuple(std), Path(folder), every

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Draw, if this is the last batch of an epoch that gets a picture."""
        adversary = getattr(pl_module, "adversary", None)
        if adversary is None or adversary.game.hard_views.idle or batch_idx + 1 != batches_of_epoch(trainer):
            return
        if not is_due(trainer, every=self.every) or not pl_module.plays(trainer.current_epoch):
            return
        # All processes take part, since a host may gather their tensors; the first one draws.
        with trainer.precision_plugin.forward_context():
            hard = pl_module.hard_views(trainer.precision_plugin.convert_input(batch), batch_idx)
        if not trainer.is_global_zero:
            return
        clean, *hard = (denormalize(view.float(), self.mean, self.std) for view in (batch[1][pl_module.side], *hard))
        epoch = trainer.current_epoch + 1
        path = self.folder / f"hard_views_{epoch:04d}.png"
        save_panel(hard_view_panel(clean, hard, title=f"epoch {epoch}"), path)
        _upload(trainer, "hard_views/panel", path, epoch=epoch, every=self.every)


def _upload(trainer: Trainer, name: str, path: Path, *, epoch: int, every: int) -> None:
    drawn = -(-(number_of_epochs(trainer) or 1) // every)
    stride = every * -(-drawn // MAX_UPLOADS)
    if epoch and not is_due(trainer, every=stride):
        return
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger.log_image(name, [str(path)], caption=[f"epoch {epoch}"])
