"""Small real parts of the game for the tests of the host."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from amask_solo._types import Images, Masks
from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.game.updates import Turn
from amask_solo.hosts.installed import load_host
from amask_solo.masked.method import wrap
from amask_solo.maskers.base import Masker
from tests.daily import of_each_kind
from tests.tiny import thin_networks, tiny_cfg, tiny_loaders

METHODS = sorted(set(load_host().methods()) - {"mae"})
KINDS = of_each_kind(METHODS)

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class NothingHidden(Masker):
    """Masks of zero."""

    def __init__(self, num_masks: int = 1) -> None:
        super().__init__()
        self.num_masks = num_masks

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        return images.new_zeros(len(images), self.num_masks, *images.shape[-2:])


class OneConvolution(Masker):
    """The smallest masker that learns."""

    def __init__(self, num_masks: int = 2) -> None:
        super().__init__()
        self.num_masks = num_masks
        self.network = nn.Conv2d(3, num_masks, 3, padding=1)

    def forward(self, images: Images, *, generator: torch.Generator | None = None) -> Masks:
        return self.network(images).sigmoid()


class Trace(Callback):
    """What a user would see of a run, batch by batch, and the last turn that was played."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.rates: list[list[float]] = []
        self.tau: list[float] = []
        self.turn: Turn | None = None

    def on_before_backward(self, trainer: Trainer, model: LightningModule, *_: Any) -> None:
        if getattr(model, "step", None) is not None:
            self.turn = model.step.turn

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, *_: Any) -> None:
        self.steps.append(trainer.global_step)
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])
        if hasattr(model, "momentum_updater"):
            self.tau.append(model.momentum_updater.cur_tau)


def masker_node(masker: type[Masker], **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"{masker.__module__}.{masker.__qualname__}", **arguments}


def build(name: str, masker: dict[str, Any] | None = None, **overrides: Any) -> LightningModule:
    """Build the stock method, or the masked one if there is a masker; the same initial weights for both."""
    torch.manual_seed(0)
    with thin_networks():
        if masker is None:
            return load_host().stock(name)(tiny_cfg(name, **overrides))
        cfg = tiny_cfg(f"amask_{name}", **{"adversary.masker": masker}, **overrides)
        return wrap(load_host().methods()[name])(cfg)


def fit(
    model: LightningModule,
    *,
    batches: int = 2,
    epochs: int = 2,
    labels: bool = True,
    callbacks: Sequence[Callback] = (),
    **trainer: Any,
) -> tuple[Trainer, Trace]:
    """Train; only with its callback it is measured how strong the adversary is, which takes half of the time."""
    torch.manual_seed(1)
    trace = Trace()
    watched = not hasattr(model, "adversary") or any(isinstance(callback, GameMonitor) for callback in callbacks)
    all_callbacks = [trace, *([] if watched else [GameMonitor()]), *callbacks]
    runner = Trainer(**{**QUIET, "max_epochs": epochs, "callbacks": all_callbacks, **trainer})
    runner.fit(model, *tiny_loaders(batches, labels=labels))
    return runner, trace


def batch_of(size: int = 8, pixels: int = 32, *, dtype: torch.dtype = torch.float32) -> list:
    generator = torch.Generator().manual_seed(3)
    views = torch.randn(2, size, 3, pixels, pixels, generator=generator, dtype=dtype)
    return [torch.arange(size), list(views), torch.arange(size) % 4]


def attach(model: LightningModule) -> None:
    """Give the model a trainer that does not train, for what a single step asks of it."""
    model.trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    model.log = model.log_dict = lambda *_, **__: None  # there is no loop that could take its logs
