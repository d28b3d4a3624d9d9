"""The host's augmentation schema, read and checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amask_solo.errors import UserError, unknown_key

# An operation that a node leaves out is not applied. The host itself has no defaults: it requires all of them. The
# scale is torchvision's, and that of the host's release.
_OPERATIONS: dict[str, dict[str, Any]] = {
    "rrc": {"enabled": True, "crop_min_scale": 0.08, "crop_max_scale": 1.0},
    "color_jitter": dict.fromkeys(("prob", "brightness", "contrast", "saturation", "hue"), 0.0),
    **{
        name: {"prob": 0.0}
        for name in ("grayscale", "gaussian_blur", "solarization", "equalization", "horizontal_flip")
    },
}
_RANGES = {
    **dict.fromkeys(("prob", "crop_min_scale", "crop_max_scale"), (0.0, 1.0)),
    **dict.fromkeys(("brightness", "contrast", "saturation"), (0.0, math.inf)),
    "hue": (0.0, 0.5),
}


KEYS = (*_OPERATIONS, "crop_size", "num_crops", "mean", "std")
"""What a node of the schema may have."""


@dataclass(frozen=True)
class Recipe:
    """How one node of the schema makes its views.

    Attributes:
        crop_size: Height and width of the views.
        num_crops: How many views the node makes.
        crop_scale: Smallest and largest part of the image's area in a random crop; None for no random crop.
        jitter: Probability of the color jitter.
        brightness: The factor is drawn from ``[max(0, 1 - brightness), 1 + brightness]``.
        contrast: As ``brightness``.
        saturation: As ``brightness``.
        hue: The shift is drawn from ``[-hue, hue]``, in turns of the color wheel, at most 0.5.
        grayscale: Probability of losing the color.
        blur: Probability of a Gaussian blur.
        solarize: Probability of a solarization at 128 of 255.
        equalize: Probability of a histogram equalization.
        flip: Probability of a horizontal flip.
        mean: The node's own channel means in [0, 1], in place of the data set's.
        std: The node's own channel deviations, in place of the data set's.
    """

    crop_size: int
    num_crops: int
    crop_scale: tuple[float, float] | None
    jitter: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grayscale: float
    blur: float
    solarize: float
    equalize: float
    flip: float
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def read_recipes(augmentations: Sequence[Mapping], *, channels: int = 3) -> list[Recipe]:
    """Read the host's list of augmentation nodes.

    Args:
        augmentations: One node for each kind of view, as in the host's yaml files: ``rrc``,
            ``color_jitter``, ``grayscale``, ``gaussian_blur``, ``solarization``, ``equalization``,
            ``horizontal_flip``, ``crop_size``, ``num_crops``, and perhaps ``mean`` and ``std``. An
            operation that is missing is not applied; both numbers are required.
        channels: How many channels the images have. Other than three are no colors, so nothing may change these.

    Returns:
        One recipe a node, in the order of the schema.

    Raises:
        UserError: If a key is unknown, a required one is missing, a value is out of range, or colors are missing.

    Example:
        >>> node = {"rrc": {"crop_min_scale": 0.2}, "crop_size": 32, "num_crops": 2}
        >>> read_recipes([node])[0].crop_scale
        (0.2, 1.0)
    """
    if not augmentations:
        raise UserError("augmentations is empty; give at least one node with crop_size and num_crops.")
    recipes = [_recipe(node, f"augmentations[{i}]", channels) for i, node in enumerate(augmentations)]
    if channels != 3 and (named := [name for i, recipe in enumerate(recipes) for name in _of_colors(recipe, i)]):
        raise UserError(
            f"The images have {channels} channel(s), which are no colors, so these cannot be changed: "
            f"{', '.join(named)}. Set them to 0, or choose augmentations=no_color."
        )
    return recipes


def _of_colors(recipe: Recipe, number: int) -> list[str]:
    """Return the keys of a recipe's operations that are defined for red, green and blue alone."""
    jitter = [f"color_jitter.{name}" for name in ("saturation", "hue") if recipe.jitter and getattr(recipe, name)]
    return [f"augmentations.{number}.{key}" for key in jitter + ["grayscale.prob"] * bool(recipe.grayscale)]


def _recipe(node: Mapping, where: str, channels: int) -> Recipe:
    _check_keys(node, KEYS, where)
    operations = {name: _operation(node, name, where) for name in _OPERATIONS}
    jitter = operations["color_jitter"]
    return Recipe(
        crop_size=_count(node, "crop_size", where),
        num_crops=_count(node, "num_crops", where),
        crop_scale=_crop_scale(operations["rrc"], where),
        jitter=jitter.pop("prob"),
        **jitter,
        grayscale=operations["grayscale"]["prob"],
        blur=operations["gaussian_blur"]["prob"],
        solarize=operations["solarization"]["prob"],
        equalize=operations["equalization"]["prob"],
        flip=operations["horizontal_flip"]["prob"],
        mean=_statistic(node, "mean", where, channels),
        std=_statistic(node, "std", where, channels),
    )


def _crop_scale(rrc: Mapping[str, Any], where: str) -> tuple[float, float] | None:
    low, high = rrc["crop_min_scale"], rrc["crop_max_scale"]
    if not rrc["enabled"]:
        return None
    if not 0 < low <= high:
        raise UserError(f"{where}.rrc should have 0 < crop_min_scale <= crop_max_scale, got {low} and {high}.")
    return low, high


def _operation(node: Mapping, name: str, where: str) -> dict[str, Any]:
    settings, where = node.get(name, {}), f"{where}.{name}"
    _check_keys(settings, _OPERATIONS[name], where)
    merged = {**_OPERATIONS[name], **settings}
    return {key: _value(key, value, f"{where}.{key}") for key, value in merged.items()}


def _check_keys(node: Any, known: Sequence[str] | Mapping, where: str) -> None:
    if not isinstance(node, Mapping):
        raise UserError(f"{where} should hold keys ({', '.join(known)}), got {node!r}.")
    for key in node:
        if key not in known:
            raise unknown_key(str(key), known, where)


def _value(key: str, value: Any, where: str) -> float | bool:
    if key == "enabled":
        if not isinstance(value, bool):
            raise UserError(f"{where} should be true or false, got {value!r}.")
        return value
    low, high = _RANGES[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UserError(f"{where} should be a number in [{low:g}, {high:g}], got {value!r}.")
    return float(value)


def _count(node: Mapping, key: str, where: str) -> int:
    value = node.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{where}.{key} should be a positive integer, got {value!r}.")
    return value


def _statistic(node: Mapping, key: str, where: str, channels: int) -> tuple[float, ...] | None:
    if node.get(key) is None:
        return None
    values, least = node[key], 0 if key == "mean" else 1e-6
    numbers = isinstance(values, Sequence) and all(isinstance(value, int | float) for value in values)
    if not numbers or len(values) != channels or not all(least <= value <= 1 for value in values):
        count = "three numbers" if channels == 3 else f"{channels} number(s)"
        above = "between 0 and 1" if key == "mean" else "above 0, up to 1"
        raise UserError(f"{where}.{key} should hold {count} {above}, as shares of white, got {values!r}.")
    return tuple(float(value) for value in values)
