"""``evaluation.json``: what the protocols found about one state of a checkpoint."""

import math
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from amask_solo.errors import UserError
from amask_solo.files import alone_in, make_folder, read_object, write_json

EVALUATION = "evaluation.json"

SAME = ("protocol", "data", "images", "which")
"""Entries of a result that another one must share to take its place."""

Right = Bool[np.ndarray, " _"] | Float[np.ndarray, " _"]
"""Which labeled validation images were classified correctly, in their order; or numbers with the accuracy as mean."""

STATE = "state"
"""The entry that tells one state of a checkpoint from any other."""


def read_results(path: Path) -> dict[str, Any]:
    """Return what a file holds; nothing if there is none.

    Raises:
        UserError: If it is not what :func:`add_result` writes.
    """
    then = "Delete it, or give output=... for another file."
    record = read_object(path, then=then)
    if record and not isinstance(record.get("results"), list):
        raise UserError(f"{path} is not what amask-evaluate writes. {then}")
    return record


def merged(record: Mapping[str, Any], facts: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with one more result, which replaces that of the same protocol on the same images.

    The ``facts`` are about the checkpoint and the machine. Nothing of a record of another ``state`` is kept.

    Example:
        >>> old = {"state": "a", "results": [{"protocol": "knn", "data": "birds", "scores": {"acc1": 20.0}}]}
        >>> merged(old, {"state": "a"}, {"protocol": "knn", "data": "birds", "scores": {"acc1": 25.0}})
        {'state': 'a', 'results': [{'protocol': 'knn', 'data': 'birds', 'scores': {'acc1': 25.0}}]}
        >>> len(merged(old, {"state": "a"}, {"protocol": "knn", "data": "cars"})["results"])
        2
        >>> len(merged(old, {"state": "b"}, {"protocol": "knn", "data": "cars"})["results"])
        1
    """
    return {**facts, "results": [*beside(record, facts, result), _plain(result)]}


def beside(record: Mapping[str, Any], facts: Mapping[str, Any], result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a record that stay beside another one, of which no more than :data:`SAME` need be known."""
    known = record.get("results", []) if record.get(STATE) == facts[STATE] else []
    new = _plain({key: result.get(key) for key in SAME})
    return [other for other in known if any(other.get(key) != new[key] for key in SAME)]


def add_result(path: Path, facts: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Add a result to a file as :func:`merged` does; a reader sees the file as it was before or as it is after.

    A score that is no finite number is written as ``null``.

    Raises:
        UserError: If the file cannot be read or written.
    """
    make_folder(path.parent)
    with alone_in(path.parent):
        # Read anew each time: another process may have added to it.
        write_json(path, merged(read_results(path), facts, result))


def pack(right: Right) -> dict[str, Any]:
    """Return what a file holds of the images that were classified correctly: a bit or 32 bits each.

    Example:
        >>> pack(np.array([True, False, True]))
        {'images': 3, 'bits': 'oA=='}
    """
    if np.isin(right, (0, 1)).all():
        return {"images": len(right), "bits": b64encode(np.packbits(right.astype(bool)).tobytes()).decode()}
    return {"images": len(right), "shares": b64encode(right.astype("<f4").tobytes()).decode()}


def unpack(kept: Mapping[str, Any]) -> Right:
    """Return what :func:`pack` has packed.

    Example:
        >>> unpack({"images": 3, "bits": "oA=="})
        array([ True, False,  True])
    """
    count = kept["images"]
    if "shares" in kept:
        shares = np.frombuffer(b64decode(kept["shares"], validate=True), "<f4")
        if len(shares) != count:
            raise ValueError(f"Expected shares of {count} images, but got {len(shares)}.")
        return shares
    packed = np.frombuffer(b64decode(kept["bits"], validate=True), np.uint8)
    if len(packed) != -(-count // 8):
        raise ValueError(f"Expected bits of {count} images, but got {len(packed)} bytes.")
    return np.unpackbits(packed, count=count).astype(bool)


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a value."""
    if isinstance(value, Mapping):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
