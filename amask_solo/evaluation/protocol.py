"""What a protocol is: one way to score a frozen backbone, or its masker, on a data set."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from itertools import chain, count
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amask_solo._types import Images
from amask_solo.augment.views import Filter, evaluation_view
from amask_solo.data import ImageData, ImageSet, make_loader
from amask_solo.data.base import Pixels
from amask_solo.data.loaders import ResidentLoader
from amask_solo.data.subsets import labeled_places
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.maskers.base import Masker
from amask_solo.rules import Rule, check_values, table

Split = Literal["train", "val"]

BROKEN = "The backbone gives features that are not finite: its training broke down."

Features = tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]
"""One feature vector for each labeled image, and the labels."""


@dataclass
class Subject:
    """What is scored, and on what.

    Attributes:
        backbone: The trained backbone, in evaluation mode on ``device``; never changed by a protocol.
        data: The images, with a validation set.
        masker: The masker of the same run, if it had one, in evaluation mode on ``device``.
        device: Where the networks are.
        batch_size: Images a forward pass.
        seed: Of everything that a protocol draws.
        reading: How images from elsewhere are to be read, as those of the training: ``value_range``, ``bands`` and
            ``channels`` for :func:`~amask_solo.data.load_image_folder`; by default as ``data``.
        chosen_by: What a user sets to have other images.
        refuse_trained: Raises a ``UserError`` if the run was trained on images from elsewhere that are to be scored.
        view_filter: What the views of the run passed, which those of its evaluation pass too; ``None`` if nothing.
        make_head: Builds the projection head of the run, in evaluation mode, if it had one; see ``head``.
        tell: Is told in a few words how far a slow protocol is.
        right: Is told by protocols, for each of their accuracies that can say so, which of the labeled validation
            images are classified correctly, in their order. Where an accuracy is a mean of several, a number for each
            image of which the mean is the accuracy.
        probe: The linear probe that protocols share, and the features that it was fitted to.
        folder: Where protocols leave files, beside the scores; ``None`` if nowhere.
        written: The files that a protocol has left; pictures among them go into the report of the run.
        taken: Files of other results, which stay as they are: a file of the same name gets a number.
    """

    backbone: Backbone
    data: ImageData
    masker: Masker | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch_size: int = 256
    seed: int = 0
    reading: Mapping[str, Any] = field(default_factory=dict)
    chosen_by: str = "data=NAME"
    refuse_trained: Callable[[ImageData], None] = field(default=lambda _: None, repr=False)
    view_filter: Filter | None = None
    make_head: Callable[[], nn.Module | None] = field(default=lambda: None, repr=False)
    tell: Callable[[str], Any] = field(default=lambda _: None, repr=False)
    right: dict[str, Bool[Tensor, " n"] | Float[Tensor, " n"]] = field(default_factory=dict, repr=False)
    probe: tuple[Any, nn.Linear] | None = field(default=None, repr=False)
    folder: Path | None = None
    written: list[Path] = field(default_factory=list, repr=False)
    taken: Collection[Path] = field(default=(), repr=False)
    _features: dict[Split, Features] = field(default_factory=dict, repr=False)
    _loader: ResidentLoader | None = field(default=None, repr=False)

    @cached_property
    def head(self) -> nn.Module | None:
        """The projection head: features to the embedding that the run's loss compares. Built when it is asked for."""
        head = self.make_head()
        return None if head is None else head.to(self.device)

    def place(self, name: str) -> Path:
        """Return the path of a file that a protocol is about to leave.

        Raises:
            UserError: If there is no folder for files.
        """
        if self.folder is None:
            raise UserError("This protocol writes files, but there is no folder for them: Subject(folder=...).")
        path = self.folder / re.sub(r"[^\w.-]", "_", name)
        numbered = (path.with_stem(f"{path.stem}_{number}") for number in count(2))
        self.written.append(next(place for place in chain([path], numbered) if place not in self.taken))
        return self.written[-1]

    def images(self, split: Split) -> ImageSet:
        """Return one part of the data.

        Raises:
            UserError: If it does not exist.
        """
        found = self.data.train if split == "train" else self.data.val
        if found is None:
            # Without labels, `val_fraction` holds out nothing.
            settings = "data.val_path or data.val_fraction" if self.data.labeled else "data.val_path"
            raise UserError(f"The data set '{self.data.name}' has no validation images; set {settings}.")
        return found

    def view(self, pixels: Tensor) -> Images:
        """Return the normalized view of uint8 images ``(B, 3, s, s)`` that validation sees, on the device."""
        data = self.data
        size, view_filter = data.image_size, self.view_filter
        return evaluation_view(pixels.to(self.device), mean=data.mean, std=data.std, size=size, view_filter=view_filter)

    @torch.no_grad()
    def encode(self, views: Images) -> Float[Tensor, "b d"]:
        """Return the features of normalized views.

        Raises:
            UserError: If one is not finite.
        """
        return finite(self.backbone(views).float(), BROKEN)

    def labeled(self, split: Split) -> ImageSet:
        """Return the images of a split that have a label.

        Raises:
            UserError: If there is no such split, no image of it has a label, or there is a single class.
        """
        images = self.images(split)
        picks = labeled_places(images.labels)
        if not self.data.labeled or not len(picks):
            raise UserError(
                f"The {split} images of '{self.data.name}' have no labels, which this protocol needs; choose others by "
                f"{self.chosen_by}."
            )
        if self.data.num_classes < 2:
            raise UserError(
                f"The images of '{self.data.name}' have one class alone, and this protocol tells classes apart; choose "
                f"others by {self.chosen_by}."
            )
        return images if len(picks) == len(images) else images.select(picks)

    @property
    def classifiable(self) -> bool:
        """Whether a classifier can be fitted and scored: there are several classes, and labels in both splits."""
        parts = (self.data.train, self.data.val)
        return self.data.num_classes > 1 and all(
            part is not None and len(labeled_places(part.labels)) for part in parts
        )

    def batches(self, images: ImageSet) -> Iterator[tuple[Pixels, Int[Tensor, " n"]]]:
        """Yield pixels and labels on the device, in the order of the set.

        Images that stay there do so until others are asked for: protocols pass the same ones again and again.
        """
        for _, pixels, labels in self._loader_of(images):
            yield pixels.to(self.device), labels.to(self.device)

    def _loader_of(self, images: ImageSet) -> Iterable[list[Tensor]]:
        kept = self._loader
        if kept is not None and kept.dataset is images and kept.batch_size == self.batch_size:
            return kept
        self._loader = kept = None  # before others are read: there may be no room for both
        loader = make_loader(images, batch_size=self.batch_size, shuffle=False, drop_last=False, device=self.device)
        if isinstance(loader, ResidentLoader):
            self._loader = loader
        return loader

    def features(self, split: Split) -> Features:
        """Return the features of all labeled images of a split; computed once.

        Raises:
            UserError: If no image of it has a label, or a feature is not finite.
        """
        if split not in self._features:
            parts = [(self.encode(self.view(pixels)), labels) for pixels, labels in self.batches(self.labeled(split))]
            features, labels = (torch.cat(column) for column in zip(*parts, strict=True))
            self._features[split] = (features, labels)
        return self._features[split]


def finite(values: Tensor, otherwise: str) -> Tensor:
    """Return numbers as they are.

    Raises:
        UserError: In the words of ``otherwise``, if one of them is not finite: scores of them would look like results.
    """
    if not values.isfinite().all():
        raise UserError(otherwise)
    return values


class Protocol(ABC):
    """Score a subject.

    A protocol is a module and a yaml in ``configs/protocol/``; its constructor takes its settings. Nothing else lists
    protocols: what must be known of one before it is built, it says itself. The commands read that in its source, for
    they refuse mistakes before torch is imported, so only plain values and what stands in :mod:`amask_solo.rules` may
    stand there.

    Attributes:
        rules: Argument -> what it must be, which is checked before the constructor is called.
        needs: What it cannot do without: ``"labels"`` (of images that are held out, too), ``"validation"`` (such images
            alone), ``"objects"`` (masks of them), ``"masker"`` (that of the run).
        stand_in: The argument by which something else takes the place of the run's masker.
        shared: Argument -> what a comparison gives all its runs where nothing else is asked for, as each would choose
            by itself.
        own_images: Whether it scores on other images than those of the run.
        main: The score that stands for all of them where there is room for one; if it has none of this name, the first.
        words: What reports call it and its scores, where their names are no words.
        no_percent: Its scores that are no percentages, as patterns of their names (:mod:`fnmatch`).
        lower_is_better: Its scores of which less is better, likewise.

    Raises:
        ValueError: If a setting is of the wrong kind or out of range, in every protocol.
    """

    rules: ClassVar[Mapping[str, Rule]] = table()
    needs: ClassVar[tuple[str, ...]] = ()
    stand_in: ClassVar[str | None] = None
    shared: ClassVar[Mapping[str, Any]] = table()
    own_images: ClassVar[bool] = False
    main: ClassVar[str | None] = None
    words: ClassVar[Mapping[str, str]] = table(
        acc1="accuracy", acc5="top-5 accuracy", mean_per_class="mean accuracy of the classes"
    )
    no_percent: ClassVar[tuple[str, ...]] = ()
    lower_is_better: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *args: Any, **settings: Any) -> "Protocol":
        """Compare the settings with the rules."""
        check_values(signature(cls.__init__).bind_partial(None, *args, **settings).arguments, cls.rules)
        return super().__new__(cls)

    @abstractmethod
    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return scores by name.

        They are in percent, unless ``no_percent`` names them; ``acc1`` is the top-1 accuracy of a protocol that
        classifies.

        Raises:
            UserError: If the subject lacks what the protocol needs.
        """
