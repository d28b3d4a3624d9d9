"""What the runs of a comparison are scored by: the same for all arms, and what all of them can have."""

from collections.abc import Mapping
from typing import Any

from amask_solo.errors import UserError
from amask_solo.evaluation.settings import QUARTER

PROTOCOLS, DATA = "amask_solo.evaluation.", "amask_solo.data."
"""How the targets of this package begin; what others need, only they know."""

OF_OBJECTS = ("MaskMatch", "Segmentation")
OF_LABELS = ("Clustering", "FineTune", "HostLinear", "KNN", "Linear", "Robustness")
"""Protocols that need object masks, or labels."""

WITH_OBJECTS = ("make_shapes", "load_image_masks")
"""Data sets that have object masks."""


def same_for_all(protocols: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of protocols, with one area for the attacks on all runs.

    By default each run is attacked by masks of the area of its own, so the arm that hides more would look weaker.
    """
    return {
        name: {**node, "area": QUARTER} if _own(node, PROTOCOLS) == "Attack" and node.get("area") is None else node
        for name, node in protocols.items()
    }


def check_demands(protocols: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Compare what the protocols need with what stock runs and the images have, as far as the settings show it.

    Args:
        protocols: Each protocol with its settings.
        data: The settings of a run's images.

    Raises:
        UserError: If a protocol could give no result.
    """
    images = _own(data, DATA)
    for name, node in protocols.items():
        kind = _own(node, PROTOCOLS)
        if kind == "MaskMatch" and node.get("localiser") is None:
            raise UserError(
                f"protocol={name} scores the masks of a run, and stock runs have none. Name a localiser to score for "
                f"all by protocol.{name}.localiser={{_target_: ...}}, or leave '{name}' out; amask-evaluate scores the "
                "masks of a single run."
            )
        if kind in OF_OBJECTS and images and images not in WITH_OBJECTS:
            raise UserError(
                f"protocol={name} needs object masks, which these images do not have; choose data=shapes or "
                f"data=image_masks, or leave '{name}' out."
            )
        if kind in OF_LABELS and images and data.get("labels") == "none":
            raise UserError(f"protocol={name} needs labels, but data.labels is none; leave one of them out.")


def _own(node: Mapping[str, Any], package: str) -> str | None:
    """Return the name of what a node describes, if it is one of a package of ours."""
    target = node["_target_"]
    return target.rpartition(".")[2] if target.startswith(package) else None
