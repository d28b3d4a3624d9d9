"""Find a backbone in the files of other programs, which nest it and put prefixes before its names.

Known this way are files of torchvision, timm, DINO, MoCo, MAE, VISSL, lightly, and of both generations of solo-learn.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

HEADS = re.compile(
    r"(fc|classifier|last_linear|heads)\.|head\.(?!norm)|decoder|mask_token|projection_head|projector|prototypes"
)
"""The beginning of names that belong to no backbone: classifiers, heads and MAE's decoder."""

UNWANTED = re.compile(r"momentum|encoder_k|target|\bema|^student")
"""Prefixes of networks that are not chosen if there are two: the averages, but for DINO's files the student."""

CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
"""The places of a ResNet's layers among its children, by which lightly names them -> their names."""

PLACE = re.compile(r"^(?P<prefix>\D*)(?P<place>[014567])(?P<rest>\.(?:\D|\d+\.\D).*)$")


def flat(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor of nested mappings with its dotted name; those of optimizers have numbers instead of names."""
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Tensor):
            yield prefix + key, value
        elif isinstance(key, str) and isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")


def by_children(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a ResNet that is a sequence of its children with the ResNet's own names.

    Example:
        >>> names = ("backbone.0.weight", "backbone.4.1.bn1.bias", "head.bias")
        >>> list(by_children(dict.fromkeys(names, Tensor([0.0]))))
        ['backbone.conv1.weight', 'backbone.layer1.1.bn1.bias', 'head.bias']
    """
    named = {name: PLACE.match(name) for name in state}
    return {
        f"{found['prefix']}{CHILDREN[found['place']]}{found['rest']}" if found else name: state[name]
        for name, found in named.items()
    }


def find_prefix(names: Iterable[str], wanted: Collection[str]) -> str | None:
    """Return the prefix with which most of the wanted names occur; ``None`` if none of them does.

    Of a trained network and its average, the trained one is chosen; in DINO's files, as is usual, the teacher.
    """
    found: Counter[str] = Counter()
    for name in names:
        places = [0, *(dot.end() for dot in re.finditer(r"\.", name))]
        found.update(name[:place] for place in places if name[place:] in wanted)
    return max(found, key=lambda prefix: (found[prefix], not UNWANTED.search(prefix), -len(prefix)), default=None)


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors with a prefix, without it and without classifiers and heads."""
    inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {name: value for name, value in inside.items() if not HEADS.match(name)}
