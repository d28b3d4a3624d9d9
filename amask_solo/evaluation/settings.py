"""What the settings of the protocols must be: the constructors ask here, and before torch is there, the command."""

from typing import Any

from amask_solo.rules import (
    AT_LEAST_0,
    BETWEEN,
    POSITIVE,
    SHARE,
    SWITCH,
    TEXT,
    Rule,
    check_values,
    one_of,
    one_or_several,
    or_null,
    several,
    whole,
)

NETWORKS = ("unet", "patches")
"""What an attacker is."""

SOLVERS = ("lbfgs", "sgd")
PART = Rule("a share above 0, up to 1", lambda value: SHARE.holds(value) and value > 0)
QUARTER = 0.25
"""The area of an attack that no run's own masks give."""

TRAINED = {"epochs": whole(1), "batch_size": whole(1), "weight_decay": AT_LEAST_0}

RULES: dict[str, dict[str, Rule]] = {
    "Attack": {
        "steps": whole(1),
        "restarts": whole(1),
        "area": or_null(one_or_several(BETWEEN)),
        "networks": several(one_of(*NETWORKS)),
        "search": whole(0),
        "batch_size": whole(1),
        "lr": POSITIVE,
        "resolution": PART,
    },
    "Clustering": {"clusters": or_null(whole(2)), "runs": whole(1)},
    "FineTune": {
        "fraction": several(PART),
        "lr": POSITIVE,
        "head_lr": POSITIVE,
        **TRAINED,
    },
    "HostLinear": {"lr": POSITIVE, "milestones": several(BETWEEN, least=0), **TRAINED},
    "KNN": {"k": one_or_several(whole(1)), "temperature": one_or_several(POSITIVE)},
    "Linear": {
        "solver": one_of(*SOLVERS),
        "weight_decay": one_or_several(AT_LEAST_0),
        "held_out": BETWEEN,
        "epochs": whole(1),
    },
    "Robustness": {"areas": several(BETWEEN, least=0), "occluders": or_null(TEXT), "corruptions": SWITCH},
    "Segmentation": {"resolution": whole(1), "weight_decay": AT_LEAST_0, "max_iter": whole(1)},
    "Transfer": {"folders": one_or_several(TEXT), "image_size": or_null(whole(1)), "occluded": or_null(BETWEEN)},
}
"""Protocol -> argument -> what it must be."""


def check_settings(protocol: str, values: dict[str, Any], where: str = "") -> None:
    """Check arguments of one of the protocols of this package.

    Args:
        protocol: The name of its class.
        values: Its arguments by name.
        where: What comes before the names in the message.

    Raises:
        ValueError: If one is of the wrong kind or out of range.
    """
    check_values(values, RULES.get(protocol, {}), where)
