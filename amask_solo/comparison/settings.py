"""What the runs of a report share, what defines its arms, and under which conditions all was made."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from amask_solo.comparison.plan import STOCK, key_of, of_masks
from amask_solo.comparison.records import Record
from amask_solo.comparison.statistics import arm_order, grouped
from amask_solo.comparison.tables import Table

FACTS: tuple[str, ...] = ("data", "train_images", "val_images", "image_size", "backbone", "batch_size")
FACTS += ("epochs", "steps", "host", "processes", "precision", "device")
"""Keys of ``summary.json`` that say under which conditions the runs were made."""


def settings_parts(
    records: Sequence[Record],
    settings: Sequence[str],
    arms: Mapping[str, Sequence[str]],
    protocols: Mapping[str, Any],
    budget: str,
) -> list[str]:
    """Return the parts of the section: what the runs share, what defines the arms, protocols and conditions."""
    equal_time = budget == "time"
    plain = [text for text in settings if not of_masks(text) and not (equal_time and key_of(text) == "max_epochs")]
    masks = [text for text in settings if of_masks(text)]
    shared = f"`{' '.join(plain)}`" if plain else "the defaults of `amask-pretrain`"
    said = f" All masked runs share `{' '.join(masks)}`, unless their arm says otherwise." if masks else ""
    parts = [f"All runs share {shared}.{said}", _epochs(records) if equal_time else ""]
    if arms:
        parts.append("\n".join(f"- `{arm}`: {_definition(arm, arms[arm])}" for arm in sorted(arms, key=arm_order)))
    if protocols:
        parts.append("\n".join(f"- protocol `{name}`: `{json.dumps(made)}`" for name, made in protocols.items()))
    return [*parts, facts_table(records).markdown() if records else ""]


def _epochs(records: Sequence[Record]) -> str:
    of_arms = (f"{base} `{arm}` {values(runs, 'epochs')}" for (base, arm), runs in grouped(records).items())
    return (
        "Arms have equal time (`budget=time`): as many epochs as fit, by measured steps, into the time that stock takes"
        f" for its own. Epochs: {', '.join(of_arms)}."
    )


def _definition(arm: str, overrides: Sequence[str]) -> str:
    if arm == STOCK:
        return "the host's method as it is"
    return f"`{' '.join(overrides)}`" if overrides else "the masked method with its defaults"


def facts_table(records: Sequence[Record]) -> Table:
    """Return what the runs were made of and on; several values where they differ."""
    rows = [[name.replace("_", " "), values(records, name)] for name in FACTS]
    packages = dict.fromkeys(name for record in records for name in record.summary["versions"])
    rows += [[name, _in_common(record.summary["versions"].get(name) for record in records)] for name in packages]
    return Table(["", ""], [row for row in rows if row[1]])


def values(records: Sequence[Record], name: str) -> str:
    """Return what the summaries of the runs have in common under a name, or all that they have where they differ."""
    return _in_common(record.summary.get(name) for record in records)


def _in_common(found: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in dict.fromkeys(found) if value is not None)
