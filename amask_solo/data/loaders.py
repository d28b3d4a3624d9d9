"""Loaders of uint8 batches: small sets stay on the device, large ones are read by workers."""

import signal
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Literal

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from amask_solo.data.base import ImageSet
from amask_solo.errors import UserError

Batch = list[Int64[Tensor, " b"] | UInt8[Tensor, "b c s s"]]
"""``[indexes, images, labels]``, the host's batch before its views are made."""

Cache = Literal["auto", "on", "off"]
"""Whether images stay on the device; ``auto`` keeps them if they fit."""

CACHE_LIMIT = 4 * 1024**3
"""Bytes of images that ``device_cache=auto`` keeps on the device at most."""


OUTLIVES = 60
"""The seconds after SIGTERM in which a worker goes on reading."""


class EpochOrder(DistributedSampler[int]):
    """The order of an epoch and the share of each process, from seed and epoch alone."""

    _interrupted = (0, 0)

    def begin_with(self, epoch: int, *, seen: int) -> None:
        """Go on in an epoch, from 0, without the first images of this process's share, which a run had seen."""
        self._interrupted = (epoch, seen)
        self.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        epoch, seen = self._interrupted
        return islice(super().__iter__(), seen if self.epoch == epoch else 0, None)


class ResidentLoader:
    """Batches of a set whose images all lie on one device, in the order of a stock loader.

    Nothing is copied from the host to the device while training, and there are no workers. Lightning takes it as it
    takes a ``DataLoader``, and sets the epoch of its sampler.

    Attributes:
        dataset: The set, of which batches hold the indexes.
        sampler: Decides the order from seed and epoch alone, and the share of each process.
    """

    batch_sampler = None  # Lightning asks every loader that has a sampler for it

    def __init__(
        self,
        dataset: ImageSet,
        *,
        sampler: DistributedSampler[int],
        batch_size: int,
        drop_last: bool,
        device: torch.device | str,
    ) -> None:
        self.dataset, self.sampler = dataset, sampler
        self.batch_size, self.drop_last = batch_size, drop_last
        self._images = dataset.stack().to(device)
        self._labels = dataset.labels.to(device)

    def __len__(self) -> int:
        share = len(self.sampler)
        return share // self.batch_size if self.drop_last else -(-share // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = torch.tensor(list(self.sampler), device=self._images.device)
        for index in order.split(self.batch_size):
            if self.drop_last and len(index) < self.batch_size:
                return
            yield [index, self._images.index_select(0, index), self._labels.index_select(0, index)]


def make_loader(
    images: ImageSet,
    *,
    batch_size: int,
    shuffle: bool,
    drop_last: bool,
    seed: int = 0,
    device: torch.device | str = "cpu",
    device_cache: Cache = "auto",
    num_workers: int = 4,
    persistent_workers: bool = True,
    rank: int = 0,
    world_size: int = 1,
) -> ResidentLoader | DataLoader[tuple[int, Tensor, int]]:
    """Return a loader of ``[indexes, uint8 images, labels]``.

    The order is a function of seed and epoch alone, for either loader, whether or not the run was resumed.

    Args:
        images: The set.
        batch_size: Images a batch on each process.
        shuffle: Draw a new order each epoch.
        drop_last: Leave out a last batch that would be short.
        seed: Of the order.
        device: Where the training runs.
        device_cache: Whether the images stay on the device; ``auto`` keeps them up to :data:`CACHE_LIMIT`.
        num_workers: Processes that read images which are not on the device.
        persistent_workers: Whether they live from one epoch to the next.
        rank: This process.
        world_size: All processes; they see different images and equally many batches. Without ``drop_last``, up to
            ``world_size - 1`` images are seen twice for this, and count twice in validation.

    Raises:
        UserError: If there is not even one full batch for each process and ``drop_last`` is set.
        ValueError: If ``device_cache`` or ``batch_size`` is out of range.
    """
    if device_cache not in ("auto", "on", "off"):
        raise ValueError(f"Expected device_cache to be 'auto', 'on' or 'off', but got {device_cache!r}.")
    if batch_size < 1:
        raise ValueError(f"Expected batch_size to be positive, but got {batch_size}.")
    if drop_last and len(images) // world_size < batch_size:
        raise UserError(
            f"The training set has {len(images)} images, too few for one batch of {batch_size} "
            f"on each of {world_size} process(es); lower optimizer.batch_size."
        )
    device = torch.device(device)
    sampler = EpochOrder(images, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed, drop_last=drop_last)
    if stays(images, device_cache):
        return ResidentLoader(images, sampler=sampler, batch_size=batch_size, drop_last=drop_last, device=device)
    return DataLoader(
        images,
        sampler=sampler,
        batch_size=batch_size,
        drop_last=drop_last,
        num_workers=num_workers,
        persistent_workers=persistent_workers and num_workers > 0,
        pin_memory=device.type == "cuda",
        # From Python 3.14 on, each worker would else import everything anew: 14 s instead of 0.1 s to the first batch.
        multiprocessing_context="fork" if num_workers and sys.platform == "linux" else None,
        # The loader draws its workers' seeds; from the global stream it would shift all other numbers.
        generator=torch.Generator().manual_seed(seed),
        worker_init_fn=_outlive_signals,
    )


def _outlive_signals(worker: int) -> None:  # noqa: ARG001
    """Let a worker serve the step that the run still finishes after a signal, which reaches all of its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # The loader itself ends its workers by SIGTERM, if they do not end otherwise.
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(OUTLIVES))


def stays(images: ImageSet, device_cache: Cache) -> bool:
    """Return whether the images of a set stay in memory."""
    stored_bytes = len(images) * images.channels * images.size**2
    return device_cache == "on" or (device_cache == "auto" and stored_bytes <= CACHE_LIMIT)
