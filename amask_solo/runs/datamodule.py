"""Batches for the host, whose views are made of uint8 images on the device."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor

from amask_solo._random import random_state, set_random_state, stream
from amask_solo._types import Images
from amask_solo.augment.views import Pixels, Views, evaluation_view
from amask_solo.data import ImageData, ImageSet, make_loader
from amask_solo.data.loaders import stays
from amask_solo.errors import UserError
from amask_solo.same_images import describe_change


class ViewsData(LightningDataModule):
    """Serve any method of the host, stock or masked, with views made on the device.

    Args:
        images: The data set.
        views: Makes the views of a batch.
        batch_size: Images per step on each process.
        seed: The seed of the order of the images and of the views.
        reading: ``num_workers`` and ``device_cache``, as in :func:`~amask_solo.data.make_loader`.
    """

    trainer: Trainer

    def __init__(self, images: ImageData, views: Views, *, batch_size: int, seed: int = 0, **reading: Any) -> None:
        super().__init__()
        check_statistics(images, views)
        self.images, self.views = images, views
        self.batch_size, self.seed = batch_size, seed
        self.reading = {"num_workers": 4, "device_cache": "auto", **reading}
        self.finds_objects = False
        self._latest: tuple[Any, list[Images], int] | None = None

    def train_dataloader(self) -> Iterable:
        """Return the batches of an epoch; each process gets its own share."""
        return self._batches(self.images.train, shuffle=True, drop_last=True, seed=self.seed)

    def val_dataloader(self) -> Iterable:
        """Return the validation batches, if there are any."""
        return [] if self.images.val is None else self._batches(self.images.val, shuffle=False, drop_last=False)

    def _batches(self, images: ImageSet, **order: Any) -> Iterable:
        return make_loader(
            images,
            batch_size=self.batch_size,
            device=self.trainer.strategy.root_device,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            **order,
            **self.reading,
        )

    def still_batches(self, images: ImageSet) -> Iterable:
        """Return batches of images in their order, all on one process.

        If the training images stay on the device, these stay in the CPU's memory, since the device's is for training.
        """
        stay = stays(self.images.train, self.reading["device_cache"])
        reading = {**self.reading, "device_cache": "on" if stay else "off", "persistent_workers": False}
        return make_loader(images, batch_size=256, shuffle=False, drop_last=False, device="cpu", **reading)

    def prepare(self, images: Pixels) -> Images:
        """Return normalized images, as in validation."""
        data, last = self.images, self.views.view_filter
        return evaluation_view(images, mean=data.mean, std=data.std, size=data.image_size, view_filter=last)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ARG002
        """Make the host's batch: indexes, views and labels for training, images and labels for validation."""
        index, images, labels = batch
        if not self.trainer.training:
            return self.prepare(images), labels
        step = self.trainer.fit_loop.total_batch_idx
        views = self.views(images, generator=self._numbers(step, images.device))
        if self.finds_objects:
            self._latest = index, views, step
        return [index, views, labels]

    def _numbers(self, step: int, device: torch.device) -> torch.Generator:
        return stream("views", seed=self.seed, rank=self.trainer.global_rank, step=step, device=device)

    def objects(self, images: Images) -> list[Tensor]:
        """Return the masks ``(b, 1, h, w)`` of the objects in each of one or more views of the present batch.

        Args:
            images: Whole views, one after another, or equally many first images of each, which are what a further move
                of the masker sees.

        Raises:
            UserError: If the images are none of these views.
        """
        index, views, step = self._latest or (torch.empty(0), [], 0)
        shown = which_views(images, views)
        if not shown:
            raise UserError("masker=objects knows the objects in the views of the present batch, but got other images.")
        masks = self.images.train.objects()[index.cpu()].to(images.device, torch.float32)
        followed = self.views.follow(masks, generator=self._numbers(step, images.device))
        return [followed[place][: len(images) // len(shown)] for place in shown]


def which_views(images: Tensor, views: Sequence[Tensor]) -> list[int]:
    """Return which views these images are the first ones of, one view after another; nothing if there are others."""
    for count in range(1, len(views) + 1):
        parts = images.chunk(count)
        found = [[n for n, view in enumerate(views) if torch.equal(part, view[: len(part)])] for part in parts]
        if all(found) and len(images) % count == 0:
            return [places[0] for places in found]
    return []


class ResumeWithinEpoch(Callback):
    """Continue a resumed run with the images that it has not seen in its epoch, and with the sums of its numbers.

    Lightning reads ahead before it knows the epoch, and would begin the epoch anew. It also keeps the schedules of the
    first part, so the steps that are left must be as many as planned. Hosts and backbones may draw from the global
    random state (W-MSE's permutations, k-means, dropout), so this goes on, too.
    """

    def __init__(self) -> None:
        self._planned: dict[str, int] = {}
        self._sums: dict[str, dict[str, Any]] = {}
        self._results: Any = {}
        self._random: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the length of an epoch, what was logged in this one, and the global random state."""
        kept = (key for key, result in self._results.items() if result.is_tensor and result.meta.on_epoch)
        sums = {key: {name: getattr(self._results[key], name) for name in self._results[key]._defaults} for key in kept}
        return {"planned": self._planned, "sums": sums, "random": random_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep all three until training starts; older checkpoints have no random state."""
        self._planned, self._sums, self._random = state_dict["planned"], state_dict["sums"], state_dict.get("random")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Set the position of the loader.

        Raises:
            UserError: If an epoch has another length than in the first part of the run.
        """
        now = {"batches": int(trainer.num_training_batches), "processes": trainer.world_size}
        if before := {name: self._planned[name] for name in now if self._planned.get(name, now[name]) != now[name]}:
            changed = " and ".join(f"{now[name]} {name} instead of {count}" for name, count in before.items())
            raise UserError(
                f"Expected to resume with epochs as before, but got {changed}, so the schedules would not end with the "
                "run. Give the same images and the same trainer.devices, trainer.num_nodes and "
                "trainer.limit_train_batches, or start a new run from these weights by init=..."
            )
        self._planned = now
        loop: Any = trainer.fit_loop
        loader: Any = trainer.train_dataloader
        epoch, batch = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        batches = batch.processed if epoch.started > epoch.processed else 0
        if epoch.processed or batches:
            loader.sampler.begin_with(epoch.processed, seen=batches * loader.batch_size)
            iter(loop._data_fetcher)
        self._sums = self._sums if batches else {}
        self._results = loop.epoch_loop._results

    def on_train_epoch_start(self, *_: Any) -> None:
        """Restore the random state, once the method's ``on_train_start`` has drawn what it draws in each process."""
        if self._random is not None:
            set_random_state(self._random)
            self._random = None

    def on_train_batch_start(self, *_: Any) -> None:
        """Do so before the first batch, if the run goes on within an epoch, which does not start again."""
        self.on_train_epoch_start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ARG002
        """Add the sums of the epoch's first part to those of the second, once these have begun."""
        for key in [key for key in self._sums if key in self._results]:
            for name, value in self._sums.pop(key).items():
                now = getattr(self._results[key], name)
                setattr(self._results[key], name, value.to(now.device) + now)


def check_same_images(said: Mapping[str, Any], images: ImageData) -> None:
    """Raise a ``UserError`` that says what changed if a run would be resumed with other images than it began with.

    The run's checkpoint has ``said`` it; see :func:`~amask_solo.checkpoints.of_run.read_of_run`.
    """
    before, now = said.get("images", {}).get("fingerprint"), images.fingerprint
    if before and (change := describe_change(before, now)):
        raise UserError(
            f"The images have changed since the run began: {change}. Resume it with the same, or start a new run from "
            "its weights by init=..."
        )


def check_statistics(images: ImageData, views: Views) -> None:
    """Raise a ``UserError`` if an augmentation has a mean or deviation of its own, which only training would use.

    Online kNN, evaluation, pictures and exports prepare images by the numbers of the data.
    """
    for recipe in views.recipes:
        for name, of_data in (("mean", images.mean), ("std", images.std)):
            own = getattr(recipe, name)
            if own is not None and tuple(own) != tuple(of_data):
                numbers = ",".join(map(str, own))
                raise UserError(
                    f"The augmentations have a {name} of their own, {numbers}, by which nothing but training would "
                    f"prepare images. Leave it out there; data.{name}=[{numbers}] sets it for all."
                )
