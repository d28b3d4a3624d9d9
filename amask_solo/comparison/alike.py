"""Were all runs trained alike? Between two calls of a comparison its ``trainer`` may change, and so may its images."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from amask_solo.comparison.records import Record


def fingerprints(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Return what tells the images of runs from others, once for each set of images; older runs do not say it."""
    found: list[dict[str, Any]] = []
    for record in records:
        said = record.summary.get("fingerprint")
        if said and said not in found:
            found.append(said)
    return found


def trained_unlike(records: Sequence[Record]) -> str:
    """Say if runs saw other images, or if as many epochs took other numbers of steps; nothing if all are alike."""
    unlike = [*_images(records), *_steps(records)]
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
        shown = ", ".join(odd[:5]) + (", ..." if len(odd) > 5 else "")
        yield f"not all saw the class{'es' if len(odd) > 1 else ''} {shown}"
    if len(counts) == 1 and not odd:
        yield f"all saw {_either(counts)} images, but of other names, classes or order"


def _either(counts: Iterable[int]) -> str:
    return " or ".join(f"{count:,}" for count in sorted(counts))
