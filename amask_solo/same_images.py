"""Are the images of two runs the same? Their fingerprints say it, without the images."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from amask_solo.errors import some

Fingerprint = Mapping[str, Any]
"""``images``, their number; ``classes``, their names; ``names`` and ``labels``, hashes of those of all images."""


def fingerprint(parts: Iterable[tuple[Sequence[str] | None, Sequence[int]]], classes: Sequence[str]) -> dict[str, Any]:
    """Return what tells images from others, of the names and labels of each part; images without names have labels."""
    named = [(names, [*map(str, labels)]) for names, labels in parts]
    return {
        "images": sum(len(labels) for _, labels in named),
        "classes": [*classes],
        "names": _hash(names or labels for names, labels in named),
        "labels": _hash(labels for _, labels in named),
    }


def _hash(parts: Iterable[Sequence[str]]) -> str:
    known = sha256()
    for part in parts:
        known.update("\0".join(part).encode(errors="surrogateescape") + b"\1")
    return known.hexdigest()[:16]


def same_images(one: Fingerprint, other: Fingerprint) -> bool:
    """Tell whether two fingerprints are of the same images, with the same labels if both say them.

    Earlier versions said no ``labels``, and had their hash under ``names`` for marked images.
    """
    if one["images"] != other["images"] or [*one["classes"]] != [*other["classes"]]:
        return False
    if "labels" in one and "labels" in other:
        return (one["names"], one["labels"]) == (other["names"], other["labels"])
    return one["names"] in (other["names"], other.get("labels")) or other["names"] == one.get("labels")


def describe_change(before: Fingerprint, now: Fingerprint) -> str | None:
    """Return in one line what differs between two fingerprints; None if nothing does.

    Example:
        >>> old = {"images": 40, "classes": ["cat", "dog"], "names": "12ab"}
        >>> describe_change(old, {"images": 60, "classes": ["cat", "dog", "wolf"], "names": "34cd"})
        '40 -> 60 images; class wolf added'
    """
    said = [f"{before['images']} -> {now['images']} images"] if before["images"] != now["images"] else []
    for first, second, verb in ((now, before, "added"), (before, now, "removed")):
        if odd := [name for name in first["classes"] if name not in second["classes"]]:
            said.append(f"class{'es' if len(odd) > 1 else ''} {some(odd)} {verb}")
    if not said and not same_images(before, now):
        said.append("as many images, but of other names, classes or order")
    return "; ".join(said) or None
