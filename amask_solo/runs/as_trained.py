"""Images of an evaluation as the backbone was trained to see them: bands, range of values, mean and deviation."""

import warnings
from dataclasses import replace
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from amask_solo.checkpoints.read import Checkpoint, images_of
from amask_solo.configuration import instantiate, node_arguments
from amask_solo.data import ImageData
from amask_solo.data.base import reading_of
from amask_solo.data.reading import describe_range
from amask_solo.errors import UserError

STATISTICS = ("mean", "std")
PUBLISHED = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
"""ImageNet's, which the files of its sets say: nobody has given them for an evaluation."""


class AsTrained(NamedTuple):
    """Images for a backbone.

    Attributes:
        data: The images.
        settings: What describes them, with what was taken from the training.
        normalized_by: Whose mean and standard deviation they have, in words.
        said: Which bands and values were taken, in sentences; empty if these are 8 bits a channel, as in the training.
        reading: How images from elsewhere are to be read, as arguments of :func:`~amask_solo.data.load_image_folder`.
    """

    data: ImageData
    settings: dict[str, Any]
    normalized_by: str
    said: str
    reading: dict[str, Any]


def load_as_trained(
    node: DictConfig, given: DictConfig | None, run: DictConfig | None, checkpoint: Checkpoint
) -> AsTrained:
    """Load images with the bands, the range of values, the mean and the standard deviation of a training.

    A backbone expects what it was trained with: other images that are brighter are seen as such, not made alike. Only
    files that hold another kind of numbers (8 bits, whole numbers or numbers with a point) have a range of their own.
    ``image_size=auto`` is the size of its views.

    What the user has ``given`` takes precedence; ``run`` is the configuration of the training, if there is one.

    Raises:
        UserError: If they cannot be loaded, or have another number of channels than those of the training.
    """
    known, own = node_arguments(node, "data"), dict(given or {})
    plain: Any = OmegaConf.to_container(node, resolve=True)
    reading = trained_reading(checkpoint)
    taken = {
        key: value
        for key, value in reading.items()
        if value is not None and known is not None and key in known.names and own.get(key) in (None, "auto")
    }
    if node.get("image_size") == "auto" and (size := trained_size(run, checkpoint)):
        taken["image_size"] = size
    data = instantiate(OmegaConf.create({**plain, **taken}), "data")
    found = {"image_size": data.image_size} | ({"value_range": list(data.value_range)} if data.value_range else {})
    settings = {**plain, **{key: value for key, value in taken.items() if key != "value_range"}, **found}
    data, normalized_by = _normalized(data, node, given, run, checkpoint)
    # What a set's file says of itself gives way to the training.
    settings |= {key: list(getattr(data, key)) for key in STATISTICS if _numbers(settings.get(key))}
    if data.train.channels != len(data.mean):
        raise UserError(
            f"The backbone was trained on images of {len(data.mean)} channel(s), but those of '{data.name}' have "
            f"{data.train.channels}; choose as many by data.bands."
        )
    said = [f"Took the bands {', '.join(map(str, taken['bands']))}, as in training."] if "bands" in taken else []
    if "value_range" in taken:
        said.append(describe_range(data.value_range, data.numbers, taken["value_range"]))
    return AsTrained(data, settings, normalized_by, " ".join(filter(None, said)), reading or data.reading)


def trained_reading(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return how the images of a training were read, as far as its checkpoint says so."""
    said = images_of(checkpoint)
    if not said:
        return {}
    return reading_of(len(said["mean"]), said.get("value_range"), said.get("numbers"), said.get("bands"))


def trained_size(run: DictConfig | None, checkpoint: Checkpoint) -> int | None:
    """Return the height and width of a training's views if its checkpoint or ``config.yaml`` has them."""
    size = images_of(checkpoint).get("image_size") or (run.data.get("image_size") if run is not None else None)
    return size if isinstance(size, int) else None


def trained_statistics(run: DictConfig | None, checkpoint: Checkpoint) -> dict[str, tuple[float, ...]]:
    """Return ``mean`` and ``std`` of a training's images if its checkpoint or ``config.yaml`` has numbers."""
    for said in (images_of(checkpoint), run.data if run is not None else {}):
        found = {key: said.get(key) for key in ("mean", "std")}
        if all(value is not None and not isinstance(value, str) for value in found.values()):
            return {key: tuple(map(float, value or ())) for key, value in found.items()}
    return {}


def _numbers(given: Any) -> list[float]:
    return [] if given is None or isinstance(given, str) else [*given]


def _normalized(
    data: ImageData, node: DictConfig, given: DictConfig | None, run: DictConfig | None, checkpoint: Checkpoint
) -> tuple[ImageData, str]:
    """Return images with the mean and standard deviation of the training, and whose these are, in words."""
    said_by_file = PUBLISHED if given and "_target_" in given else {}
    if given and any(_numbers(given.get(key)) not in ([], said_by_file.get(key)) for key in STATISTICS):
        return data, "data.mean and data.std as given"
    known = trained_statistics(run, checkpoint)
    if not known and run is not None and node == run.data:
        return data, "the run's images"
    if not known and run is not None:
        try:
            own = instantiate(run.data, "data")
            known = {"mean": own.mean, "std": own.std}
        except UserError as error:
            warnings.warn(f"The images of the run cannot be measured, so those of data are. {error}", stacklevel=1)
    if not known:
        return data, f"the images of '{data.name}'"
    mean, std = known["mean"], known["std"]
    variants = {name: replace(variant, mean=mean, std=std) for name, variant in data.variants.items()}
    return replace(data, variants=variants, mean=mean, std=std), "the run's images"
