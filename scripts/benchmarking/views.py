"""The part ``views``: how fast uint8 images become two views."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

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


def measure_views(
    device: torch.device, *, batch: int, workers: int, seconds: float, augmentations: str = "imagenet_asymmetric"
) -> list[dict[str, Any]]:
    """Return images/s from uint8 images to two normalized views, made in three ways.

    Args:
        device: Where ours and Kornia's are made; torchvision's are made by workers on the CPU and copied.
        batch: Images at a time.
        workers: Processes of torchvision's loader.
        seconds: How long each way is measured, at least.
        augmentations: Name of the recipe.
    """
    rows = []
    for size, stored in SIZES.items():
        cfg = composed("pretrain", [f"augmentations={augmentations}", f"data.image_size={size}", "run_folder=none"])
        views = Views(OmegaConf.to_container(cfg.augmentations, resolve=True), mean=MEAN, std=STD)
        images = torch.randint(0, 256, (batch, 3, stored, stored), dtype=torch.uint8)
        for way, make in _ways(views, images, device, workers).items():
            rate, batches = _rate(make, batch, device=device, seconds=seconds)
            row = {"way": way, "size": size, "stored": stored, "batch": batch, "workers": workers}
            rows.append(row | {"images_per_second": rate, "batches": batches})
    return rows


def _ways(views: Views, images: Tensor, device: torch.device, workers: int) -> dict[str, Callable[[], Iterator[Any]]]:
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

    def by_torchvision() -> Iterator[Any]:
        data = _PerImage(images, single, 1_000_000)
        pinned = device.type == "cuda"
        for made in DataLoader(data, batch_size=len(images), num_workers=workers, pin_memory=pinned):
            yield [view.to(device, non_blocking=True) for view in made]

    return {"ours": ours, "Kornia, defaults": by_kornia, "torchvision v2 per image": by_torchvision}


def _rate(make: Callable[[], Iterator[Any]], batch: int, *, device: torch.device, seconds: float) -> tuple[float, int]:
    batches = make()
    next(batches)  # workers start, kernels are chosen
    synchronize(device)
    start, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - start < seconds:
        next(batches)
        # On a device every batch is waited for: a queue of launches would say how fast it can be filled.
        synchronize(device)
        count += 1
    took = time.perf_counter() - start
    batches.close()
    return count * batch / took, count
