"""The protocols of a comparison: the same settings for all arms, and checks that all arms can have them."""

from collections.abc import Mapping
from typing import Any

from amask_solo.errors import UserError
from amask_solo.signatures import defining_module, read_declared


def same_for_all(protocols: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of protocols, with defaults for the values that each declares to be shared by all runs.

    An example is the area of an attack. By default it is the area of the run's own masks, so that an arm that hides
    more would look weaker.
    """
    return {
        name: node | {key: value for key, value in _shared(node).items() if node.get(key) is None}
        for name, node in protocols.items()
    }


def _shared(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return read_declared(node["_target_"], "shared") or {}


def check_demands(protocols: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Compare the declared needs of protocols with what stock runs and the images declare to have.

    Args:
        protocols: Name -> settings of each protocol.
        data: The settings of the images.

    Raises:
        UserError: If a protocol could give no result.
    """
    # A user's own data set declares nothing.
    known = defining_module(data["_target_"]) is not None
    for name, node in protocols.items():
        needs, stand_in = (read_declared(node["_target_"], key) or () for key in ("needs", "stand_in"))
        if "masker" in needs and (not stand_in or node.get(stand_in) is None):
            raise UserError(
                f"protocol={name} scores the masks of a run, and stock runs have none. Name a {stand_in} to score for "
                f"all by protocol.{name}.{stand_in}={{_target_: ...}}, or leave '{name}' out; amask-evaluate scores "
                "the masks of a single run."
            )
        if "objects" in needs and known and not read_declared(data["_target_"], "OBJECTS"):
            raise UserError(
                f"protocol={name} needs object masks, which these images do not have; choose data=shapes or "
                f"data=image_masks, or leave '{name}' out."
            )
        if "labels" in needs and known and data.get("labels") == "none":
            raise UserError(f"protocol={name} needs labels, but data.labels is none; leave one of them out.")
