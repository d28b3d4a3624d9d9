"""Were all runs trained alike? Between two calls of a comparison its ``trainer`` may change, and so may its images."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from amask_solo.comparison.records import Record
from amask_solo.errors import some
from amask_solo.same_images import same_images
from amask_solo.versions import PACKAGES

CONDITIONS = ("precision", "host", "processes")
COMPUTE = ("amask-solo", "solo-learn", *PACKAGES)
"""What runs that are compared must share: of ``summary.json``, and of its versions, where Python's does not count."""


def fingerprints(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return what tells the images of runs from others, once for each set of images; older runs do not say it."""
    every = [said for record in records if (said := record.summary.get("fingerprint"))]
    found: list[dict[str, Any]] = []
    # First those that say more: an older one is like several of them.
    for said in sorted(every, key=len, reverse=True):
        if not any(same_images(said, other) for other in found):
            found.append(said)
    return found


def trained_unlike(records: Sequence[Record]) -> str:
    """Say if runs saw other images, as many epochs took other numbers of steps, or arms were made in other ways."""
    unlike = [*_images(records), *_steps(records), *_conditions(records)]
    return f"**Not trained alike:** {'; '.join(unlike)}. Such runs do not compare." if unlike else ""


def _steps(records: Iterable[Record]) -> Iterator[str]:
    steps: dict[int, set[int]] = {}
    for record in records:
        steps.setdefault(record.summary.get("epochs", 0), set()).add(record.summary["steps"])
    for epochs, counts in sorted(steps.items()):
        if len(counts) > 1:
            yield f"{epochs} epochs took {_either(counts)} steps"


def _images(records: Iterable[Record]) -> Iterator[str]:
    found = fingerprints(records)
    if len(found) < 2:
        return
    counts, classes = {said["images"] for said in found}, [set(said["classes"]) for said in found]
    odd = sorted(set.union(*classes) - set.intersection(*classes))
    if len(counts) > 1:
        yield f"the runs saw {_either(counts)} images"
    if odd:
        yield f"not all saw the class{'es' if len(odd) > 1 else ''} {some(odd)}"
    if len(counts) == 1 and not odd:
        yield f"all saw {_either(counts)} images, but of other names, classes or order"


def _conditions(records: Iterable[Record]) -> Iterator[str]:
    """Say in what the arms of the same base and seed differ: what differs between seeds in all arms alike is no fault.

    Runs of older versions may not say everything.
    """
    pairs: dict[str, dict[str, dict[str, list[str]]]] = {}
    for record in records:
        for name, value in _made_with(record).items():
            of_pair = pairs.setdefault(f"{record.base} {record.seed}", {})
            of_pair.setdefault(name, {}).setdefault(value, []).append(f"`{record.arm}`")
    where: dict[str, list[str]] = {}
    for pair, found in pairs.items():
        for name, values in found.items():
            if len(values) > 1:
                said = " or ".join(f"{value} ({', '.join(arms)})" for value, arms in values.items())
                where.setdefault(f"{name} {said}", []).append(pair)
    yield from (f"{said} in {', '.join(names)}" for said, names in where.items())


def _made_with(record: Record) -> dict[str, str]:
    versions = record.summary.get("versions", {})
    found = {name: record.summary.get(name) for name in CONDITIONS} | {name: versions.get(name) for name in COMPUTE}
    return {name: str(value) for name, value in found.items() if value is not None}


def _either(counts: Iterable[int]) -> str:
    return " or ".join(f"{count:,}" for count in sorted(counts))
