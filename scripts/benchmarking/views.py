"""The part ``views``: how fast uint8 images become two views."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch
from kornia import augmentation as K
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from amask_solo.augment.schema import Recipe
from amask_solo.augment.views import Views
from amask_solo.cli.composed import composed
from benchmarking.models import synchronize

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = {32: 32, 96: 110, 224: 256}
"""Size of the views -> size of the images that they are cut from."""

ONE_BY_ONE = "torchvision v2 per image, same process"
"""What the others are compared with: on a CPU it has the same threads."""


def kornia_views(recipe: Recipe) -> nn.Module:
    """Return the recipe as modules of Kornia with their defaults."""
    strengths = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    return nn.Sequential(
        K.RandomResizedCrop((recipe.crop_size, recipe.crop_size), scale=recipe.crop_scale),
        K.ColorJitter(*strengths, p=recipe.jitter),
        K.RandomGrayscale(p=recipe.grayscale),
        K.RandomGaussianBlur((23, 23), (0.1, 2.0), p=recipe.blur),
        K.RandomSolarize(0.0, 0.0, p=recipe.solarize),
        K.RandomHorizontalFlip(p=recipe.flip),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    )


def torchvision_views(recipe: Recipe) -> v2.Transform:
    """Return the recipe as transforms of one image by torchvision v2."""
    strengths = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    return v2.Compose(
        [
            v2.RandomResizedCrop(recipe.crop_size, scale=recipe.crop_scale),
            v2.RandomApply([v2.ColorJitter(*strengths)], p=recipe.jitter),
            v2.RandomGrayscale(recipe.grayscale),
            v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], p=recipe.blur),
            v2.RandomSolarize(128, recipe.solarize),
            v2.RandomHorizontalFlip(recipe.flip),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


class _PerImage(Dataset):
    """Two views of each image, made one by one."""

    def __init__(self, images: Tensor, transforms: Sequence[v2.Transform], length: int) -> None:
        self.images, self.transforms, self.length = images, transforms, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> list[Tensor]:
        return [transform(self.images[index % len(self.images)]) for transform in self.transforms]


class Way(NamedTuple):
    """A way to make views.

    Attributes:
        make: Begin an endless row of batches.
        together: How many batches are made at a time.
    """

    make: Callable[[], Iterator[Any]]
    together: int = 1


def measure_views(
    device: torch.device,
    *,
    batch: int,
    workers: int,
    rounds: int,
    seconds: float,
    augmentations: str = "imagenet_asymmetric",
) -> list[dict[str, Any]]:
    """Return images/s from uint8 images to two normalized views, made in several ways that take turns.

    Args:
        device: Where ours and Kornia's are made; torchvision's are made on the CPU and copied.
        batch: Images at a time.
        workers: Processes of torchvision's loader.
        rounds: Turns of each way.
        seconds: How long a turn takes, at least.
        augmentations: Name of the recipe.

    Returns:
        A row for each size and way: the median over its turns, and the ratio to torchvision in this process, its median
        and quartiles over the rounds.
    """
    rows = []
    for size, stored in SIZES.items():
        cfg = composed("pretrain", [f"augmentations={augmentations}", f"data.image_size={size}", "run_folder=none"])
        views = Views(OmegaConf.to_container(cfg.augmentations, resolve=True), mean=MEAN, std=STD)
        images = torch.randint(0, 256, (batch, 3, stored, stored), dtype=torch.uint8)
        ways = _ways(views, images, device, workers)
        rates = [{name: batch * _rate(way, device, seconds) for name, way in ways.items()} for _ in range(rounds)]
        for name in ways:
            low, ratio, high = quantiles([turn[name] / turn[ONE_BY_ONE] for turn in rates], n=4, method="inclusive")
            row = {"way": name, "size": size, "stored": stored, "batch": batch, "rounds": rounds}
            row["images_per_second"] = median(turn[name] for turn in rates)
            rows.append(row | {"ratio": ratio, "quartiles": [low, high]})
    return rows


def _ways(views: Views, images: Tensor, device: torch.device, workers: int) -> dict[str, Way]:
    here = images.to(device)
    generator = torch.Generator(device).manual_seed(0)
    kornia = [kornia_views(recipe).to(device) for recipe in views.recipes for _ in range(recipe.num_crops)]
    single = [torchvision_views(recipe) for recipe in views.recipes for _ in range(recipe.num_crops)]

    def ours() -> Iterator[Any]:
        while True:
            yield views(here, generator=generator)

    @torch.no_grad()
    def by_kornia() -> Iterator[Any]:
        while True:
            yield [chain(here / 255) for chain in kornia]

    def by_torchvision(workers: int) -> Iterator[Any]:
        data = _PerImage(images, single, 1_000_000)
        pinned = device.type == "cuda"
        for made in DataLoader(data, batch_size=len(images), num_workers=workers, pin_memory=pinned):
            yield [view.to(device, non_blocking=True) for view in made]

    return {
        "ours": Way(ours),
        "Kornia, defaults": Way(by_kornia),
        ONE_BY_ONE: Way(partial(by_torchvision, 0)),
        f"torchvision v2 per image, {workers} workers": Way(partial(by_torchvision, workers), workers),
    }


def _rate(way: Way, device: torch.device, seconds: float) -> float:
    """Return batches a second."""
    batches = way.make()
    next(batches)  # workers start, kernels are chosen
    synchronize(device)
    start, count, took = time.perf_counter(), 0, 0.0
    # Workers begin together and end together: the first batch comes with those of the others.
    while count < 2 or count % way.together or took < seconds:
        next(batches)
        # Every batch is waited for: otherwise a device would show how fast its queue of launches can be filled.
        synchronize(device)
        count += 1
        took = time.perf_counter() - start
    batches.close()
    return count / took
