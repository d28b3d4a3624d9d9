"""What the benchmark trains: methods built from this project's own configuration files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from omegaconf import OmegaConf

from amask_solo.augment.views import Views
from amask_solo.cli.composed import composed
from amask_solo.data import ImageData
from amask_solo.data.base import ArrayImages
from amask_solo.masked.loss import HostLoss, Step
from amask_solo.runs.host_config import host_config, method_class

ALL_OF_FOUR = ["++adversary.draw=all", "adversary.masker.num_masks=4"]
"""Four masks, each shown in every step."""

REFERENCE = ["adversary=adios", *ALL_OF_FOUR]
"""ADIOS with four masks: one look at the whole image by a wider U-Net, 1/sin penalty, the masker's own turn."""


@dataclass(frozen=True)
class Setting:
    """Where and on what the steps are measured."""

    device: torch.device
    backbone: str
    size: int
    batch: int
    seed: int

    def facts(self) -> dict[str, Any]:
        """Return what a row of a table says about the setting."""
        return {"backbone": self.backbone, "size": self.size, "batch": self.batch}

    def trainer(self) -> dict[str, Any]:
        """Return what Lightning's Trainer is told about the device."""
        cuda = self.device.type == "cuda"
        places = [self.device.index or 0] if cuda else 1
        precision = "bf16-mixed" if cuda else "32-true"
        return {"accelerator": self.device.type, "devices": places, "precision": precision, "benchmark": cuda}

    def views(self) -> list:
        """Return a batch for the host, on the device, in the memory format of the networks."""
        generator = torch.Generator().manual_seed(self.seed)
        views = torch.randn(2, self.batch, 3, self.size, self.size, generator=generator)
        indexes = torch.arange(self.batch, device=self.device)
        return [indexes, [self.formatted(view.to(self.device)) for view in views], indexes % 8]

    def formatted(self, network_or_view: Any) -> Any:
        """Return a network or a view as channels_last on a GPU; on a CPU as the host has it."""
        if self.device.type != "cuda":
            return network_or_view
        if isinstance(network_or_view, torch.Tensor):
            return network_or_view.contiguous(memory_format=torch.channels_last)
        return network_or_view.to(memory_format=torch.channels_last)


def build(
    setting: Setting, method: str, overrides: Sequence[str] = (), *, as_reference: bool = False
) -> LightningModule:
    """Build a method as ``amask-pretrain`` does.

    Args:
        setting: Device, backbone and sizes.
        method: ``byol``, or ``amask_byol`` for the masked method.
        overrides: More of the command line.
        as_reference: Play without what this plugin saves; see :func:`uncached`.
    """
    line = [f"method={method}", f"backbone.name={setting.backbone}", f"data.image_size={setting.size}"]
    cfg = composed("pretrain", [*line, "run_folder=none", "trainer=cpu", *overrides])
    cfg.optimizer.batch_size = setting.batch
    views = Views(OmegaConf.to_container(cfg.augmentations, resolve=True), mean=(0.5,) * 3, std=(0.25,) * 3)
    made = method_class(cfg.method)
    torch.manual_seed(setting.seed)
    model = (uncached(made) if as_reference else made)(host_config(cfg, _no_images(setting), views, devices=1))
    return setting.formatted(model)


def _no_images(setting: Setting) -> ImageData:
    # A method is built for a data set, of which it only wants to know a few numbers.
    pixels = torch.zeros(1, 3, 1, 1, dtype=torch.uint8).expand(setting.batch, 3, setting.size, setting.size)
    images = ArrayImages(pixels, torch.arange(setting.batch) % 8)
    return ImageData(images, None, 8, list("abcdefgh"), (0.5,) * 3, (0.25,) * 3, setting.size, "none")


def synchronize(device: torch.device) -> None:
    """Wait for a GPU; a CPU has nothing to wait for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def uncached(masked: type[LightningModule]) -> type[LightningModule]:
    """Return a masked method that plays as the authors' code of ADIOS does.

    Every call of the host encodes its clean view again, in the encoder's turn as in the masker's.
    """

    class Uncached(masked):
        @contextmanager
        def _loss(self, step: Step, *, loud_call: int | None = None) -> Iterator[HostLoss]:
            yield HostLoss(self, step.batch, step.batch_idx, caches=[], loud_call=loud_call, before=step.before)

    return Uncached
