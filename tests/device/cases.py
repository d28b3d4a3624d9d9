"""Every part and some whole fits on the pretended device. Prints a line of JSON for each: what failed, what waits.

Run as ``python -m tests.device.cases``, optionally with the first letters of the wanted cases.
"""

import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.nn import functional as F

from amask_solo._types import WeightedViews
from amask_solo.augment.views import Views
from amask_solo.callbacks.advantage_monitor import AdvantageMonitor
from amask_solo.callbacks.game_monitor import GameMonitor
from amask_solo.game.monitor import mask_statistics
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import by_class
from amask_solo.localisers import lend_backbone, lend_clock
from amask_solo.masked.method import wrap
from amask_solo.maskers import PatchHead, SequentialMasker, SimultaneousMasker
from amask_solo.projections import AreaBudget, Binary, Disjoint, GumbelTopK, Patches, Sigmoid, Softmax, Standardized
from amask_solo.runs.datamodule import ViewsData
from tests.contracts.configs import build, names
from tests.device.pretended import TYPE, Waits, elsewhere, install, pretended
from tests.tiny import thin_networks, tiny_cfg

DEVICE = f"{TYPE}:0"

COLOR = {"prob": 0.8, "brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1}
FULL = {"rrc": {"crop_min_scale": 0.2}, "color_jitter": COLOR, "grayscale": {"prob": 0.2}, "crop_size": 32}
FULL |= {name: {"prob": 0.5} for name in ("gaussian_blur", "solarization", "equalization", "horizontal_flip")}
STEADY = 2
"""The step whose waits are noted; optimizers and caches are warm by then."""

PROJECTIONS = {
    "sigmoid": Sigmoid(),
    "softmax": Softmax(),
    "binary range": Binary(AreaBudget([0.1, 0.4])),
    "standardized": Standardized(AreaBudget(0.25, sharpness=3.0)),
    "patches": Patches(Binary(AreaBudget(0.25)), patch_size=8),
    "gumbel": GumbelTopK(0.25),
}
FITS = {
    "byol": {},
    "simclr": {"memory_efficient": True, "draw": "all"},
    "mocov2plus": {"hard_views": "hexa"},
    "deepclusterv2": {},
    "simsiam": {"update": "alternating"},
    "swav": {"steps": 2},
    "wmse": {},
}


def views(make: Views, waits: Waits) -> list[Tensor]:
    """Make two views twice, since the first batch makes tables."""
    pixels = torch.zeros(8, 3, 64, 64, dtype=torch.uint8, device=DEVICE)
    make(pixels, generator=torch.Generator(DEVICE))
    waits.seen.clear()
    return make(pixels, generator=torch.Generator(DEVICE))


def recipe() -> Views:
    return Views([{**FULL, "num_crops": 2}], mean=(0.5,) * 3, std=(0.2,) * 3)


def masks(masker: Any, waits: Waits) -> list[Any]:
    """Return the masks of a masker, and the gradients of its parameters."""
    masker = masker.to(DEVICE)
    waits.seen.clear()
    images, generator = torch.randn(8, 3, 32, 32, device=DEVICE), torch.Generator(DEVICE)
    kernel = torch.ones(8, 3, 3, 3, device=DEVICE)
    lend_backbone(masker, lambda images: F.conv2d(images.float(), kernel, padding=1))
    lend_clock(masker, lambda: 0)
    made = [masker(images, generator=generator), masker.draw_one(images, generator=generator)]
    with torch.autocast(TYPE, dtype=torch.bfloat16):
        made.append(masker(images, generator=generator))
    for mask in made:
        if mask.requires_grad:
            mask.sum().backward()
    return [made, [parameter.grad for parameter in masker.parameters()], mask_statistics(made[0])]


def penalty(constraint: Any, waits: Waits) -> list[Tensor]:
    masks = torch.rand(8, 3, 32, 32, device=DEVICE, requires_grad=True)
    constraint = constraint.to(DEVICE)
    waits.seen.clear()
    value = constraint(masks)
    if value.requires_grad:
        value.backward()
    return [value, masks.grad]


def filled(fill: Any, waits: Waits) -> Tensor:
    return fill(torch.rand(8, 3, 32, 32, device=DEVICE), generator=torch.Generator(DEVICE))


def harder(hard_view: Any, waits: Waits) -> list[Any]:
    images, mask = (torch.rand(8, 3, 32, 32, device=DEVICE) for _ in range(2))
    entries = [WeightedViews((images, mask), 1.0, 1)]
    hard_view = hard_view.to(DEVICE)
    waits.seen.clear()
    made = hard_view(entries, lambda v: (v[0] * v[1]).mean(), generator=torch.Generator(DEVICE))
    return [(entry.views, entry.weight) for entry in made]


class NoAccelerator(Accelerator):
    """What Lightning asks of the pretended device."""

    def setup_device(self, device: Any) -> None: ...
    def teardown(self) -> None: ...
    def get_device_stats(self, device: Any) -> dict:
        return {}

    @staticmethod
    def parse_devices(devices: Any) -> list[int]:
        return [0]

    @staticmethod
    def get_parallel_devices(devices: Any) -> list[torch.device]:
        return [torch.device(DEVICE)]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def name() -> str:
        return TYPE


class Strategy(SingleDeviceStrategy):
    def teardown(self) -> None: ...


class Images(ViewsData):
    """Batches of images on the device, of which views are made there."""

    def __init__(self, batches: int = STEADY + 2) -> None:
        LightningDataModule.__init__(self)
        pixels = torch.randint(0, 255, (8, 3, 40, 40), dtype=torch.uint8, device=DEVICE)
        self.batch = [torch.arange(8, device=DEVICE), pixels, torch.arange(8, device=DEVICE) % 4]
        self.views, self.seed, self.batch_size, self.count = recipe(), 0, 8, batches
        self.finds_objects = False
        self.images: Any = type("Facts", (), {"mean": (0.5,) * 3, "std": (0.2,) * 3, "image_size": 32})

    def train_dataloader(self) -> Any:
        return Loader([self.batch] * self.count)

    def val_dataloader(self) -> Any:
        return Loader([self.batch])


class Loader(list):
    """Batches, and what DeepCluster and SwAV ask of a loader."""

    batch_size = 8

    @property
    def dataset(self) -> range:
        return range(8 * len(self))


class Watch(Callback):
    """Note what waits in one steady step."""

    def __init__(self, waits: Waits) -> None:
        self.waits = waits

    def on_train_batch_start(self, trainer: Trainer, model: Any, batch: Any, batch_idx: int) -> None:
        self.waits.on = trainer.current_epoch == trainer.max_epochs - 1 and batch_idx == STEADY

    def on_train_epoch_end(self, trainer: Trainer, model: Any) -> None:
        self.waits.on = False


def method(name: str, adversary: dict[str, Any], **more: Any) -> Any:
    with thin_networks():
        cfg = tiny_cfg(f"amask_{name}", adversary=adversary, **more)
        cfg.data.mean, cfg.data.std = [0.5] * 3, [0.2] * 3
        return wrap(load_host().methods()[name])(cfg)


def fit(model: Any, waits: Waits, *, low: bool = False, accumulate: int = 1) -> Any:
    """Train through the first epoch of the game and return what should lie on the device."""
    trainer = Trainer(
        max_epochs=by_class(model.stock).first_epoch + 1,
        strategy=Strategy(device=torch.device(DEVICE), accelerator=NoAccelerator()),
        callbacks=[Watch(waits), GameMonitor(), AdvantageMonitor()],
        plugins=[MixedPrecision("bf16-mixed", TYPE)] if low else [],
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1000,
    )
    waits.on = False
    trainer.fit(model, Images())
    optimizer = model.adversary.optimizer
    moments = (
        []
        if optimizer is None
        else [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    )
    grads = [parameter.grad for parameter in model.parameters()]
    return [list(model.parameters()), list(model.buffers()), grads, moments]


def cases() -> Iterator[tuple[str, Callable[[], Any], Callable[[Any, Waits], Any]]]:
    """Yield the name of each case, what makes it in the usual way, and what to do with that on the device."""
    yield "views", recipe, views
    for group, play in (("masker", masks), ("constraint", penalty), ("hard_views", harder), ("fill", filled)):
        for name in names(group):
            yield f"{group} {name}", partial(build, group, name), play
    for name, projection in PROJECTIONS.items():
        yield f"projection {name}", partial(SimultaneousMasker, 3, projection=projection), masks
        if not projection.shares_out:
            yield f"projection {name}, in turn", partial(SequentialMasker, 3, projection=Disjoint(projection)), masks
    head = partial(PatchHead, patch_size=8)
    yield "patches", partial(SimultaneousMasker, 3, network=head, resolution=1.0), masks
    for name, adversary in FITS.items():
        yield f"fit {name}", partial(method, name, adversary), fit
    knn = {"enabled": True, "k": 2, "distance_func": "euclidean"}
    yield "fit bf16", partial(method, "byol", {}, knn_eval=knn), partial(fit, low=True, accumulate=2)


def report(make: Callable[[], Any], play: Callable[[Any, Waits], Any]) -> dict[str, Any]:
    """Return what went wrong and what waited in one case."""
    made, failed, wrong = make(), "", []
    with pretended() as waits:
        waits.on = True
        try:
            wrong = elsewhere(play(made, waits))
        except Exception as error:
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/torch/" not in frame.filename]
            failed = f"{type(error).__name__}: {error} ({frames[-1].filename}:{frames[-1].lineno})"
            if "-v" in sys.argv:
                traceback.print_exc()
    return {"failed": failed, "elsewhere": wrong, "waits": sorted(waits.seen)}


def main() -> None:
    wanted = tuple(word for word in sys.argv[1:] if word != "-v") or ""
    for name, make, play in cases():
        if name.startswith(wanted):
            sys.stdout.write(json.dumps({"name": name, **report(make, play)}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    install()
    main()
