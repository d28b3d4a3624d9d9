"""The facts about each method of the host, in one table: the only place in this package that names these methods.

A new method takes one row here and two files in ``configs/method``. The facts were measured, since no signature shows
them. Nothing heavy is imported, because settings are checked against the table before torch is imported.
"""

import sys
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from amask_solo.layout import PREFIX


class Method(NamedTuple):
    """The facts about one method; most methods have the defaults.

    Attributes:
        base: The name of its class in the host.
        sides: The indexes of the views whose masks get a gradient. The first one is masked by default. Empty if the
            method hides parts of its input by itself.
        many_views: The generations of the host whose method takes more than two large views; the others take two.
        small_views: The generations whose method learns from small views beside large ones; the others stop, or encode
            them for nothing.
        first_epoch: The first epoch, from 0, in which the objective has a gradient.
        until_then: What the method lacks before that epoch, in words that follow its name.
        contrast: The names of its loss function in the two generations if that is a cross-entropy over similarities;
            empty otherwise.
        directions: The name of its loss function, if that is called once for each view as the query and the other one
            as the target, and the indexes of the queries in the order of the calls.
        batch: The kind of condition on the batch size; :mod:`amask_solo.settings.method` has the rules.
        gelu: Whether the projector's activation is GELU instead of ReLU, which the tensors do not show.
        only_current: Whether the release of the host lacks the method.
        option_of: The method of the release that has this one as an option, if any.
        defaults: Values that the release gets for keys missing in ``method_kwargs``; most of them are defaults of the
            current host.
    """

    base: str
    sides: tuple[int, ...] = (1, 0)
    many_views: Collection[str] = ()
    small_views: Collection[str] = ()
    first_epoch: int = 0
    until_then: str = ""
    contrast: tuple[str, ...] = ()
    directions: tuple[str, tuple[int, ...]] | None = None
    batch: Literal["whitening", "queue", "optional queue", "memory"] | None = None
    gelu: bool = False
    only_current: bool = False
    option_of: str | None = None
    defaults: Mapping[str, Any] = MappingProxyType({})


BOTH, CURRENT = ("release", "current"), ("current",)
QUEUE = {"queue_size": 65536}
INFO_NCE = ("simclr_loss_func",)
METHODS = {
    "all4one": Method("All4One", batch="queue", only_current=True, defaults=QUEUE),
    "barlow_twins": Method("BarlowTwins", defaults={"lamb": 0.0051, "scale_loss": 0.024}),
    "byol": Method("BYOL", many_views=BOTH, small_views=BOTH, directions=("byol_loss_func", (1, 0))),
    "deepclusterv2": Method(
        "DeepClusterV2",
        first_epoch=1,
        until_then="has no clusters to predict",
        batch="memory",
        defaults={"num_prototypes": [3000, 3000, 3000], "temperature": 0.1, "kmeans_iters": 10},
    ),
    "dino": Method(
        "DINO",
        small_views=CURRENT,
        defaults={
            "clip_grad": 0,
            "freeze_last_layer": 1,
            "norm_last_layer": True,
            "use_bn_in_head": False,
            "student_temperature": 0.1,
            "teacher_temperature": 0.07,
            "warmup_teacher_temperature": 0.04,
            "warmup_teacher_temperature_epochs": 0,
        },
    ),
    "mae": Method("MAE", sides=(), only_current=True),
    "mocov2plus": Method(
        "MoCoV2Plus", contrast=("mocov2plus_loss_func", "moco_loss_func"), batch="queue", defaults=QUEUE
    ),
    "mocov3": Method("MoCoV3", contrast=("mocov3_loss_func",), only_current=True),
    "nnbyol": Method("NNBYOL", batch="queue", defaults=QUEUE),
    "nnclr": Method("NNCLR", contrast=("nnclr_loss_func",), batch="queue", defaults=QUEUE),
    "nnsiam": Method("NNSiam", batch="queue", defaults=QUEUE),
    # The second view passes through the teacher alone.
    "ressl": Method("ReSSL", sides=(0,), batch="queue", defaults=QUEUE),
    "simclr": Method("SimCLR", many_views=CURRENT, small_views=BOTH, contrast=INFO_NCE),
    "simsiam": Method("SimSiam", directions=("simsiam_loss_func", (0, 1))),
    "supcon": Method(
        "SupCon",
        many_views=CURRENT,
        small_views=BOTH,
        contrast=INFO_NCE,
        option_of="simclr",
        defaults={"supervised": True},
    ),
    "swav": Method(
        "SwAV",
        small_views=CURRENT,
        batch="optional queue",
        defaults={
            **QUEUE,
            "num_prototypes": 3000,
            "sk_epsilon": 0.05,
            "sk_iters": 3,
            "freeze_prototypes_epochs": 1,
            "epoch_queue_starts": 15,
        },
    ),
    "vibcreg": Method("VIbCReg", gelu=True, only_current=True),
    "vicreg": Method("VICReg", defaults={"sim_loss_weight": 25.0, "var_loss_weight": 25.0, "cov_loss_weight": 1.0}),
    # The second view is detached.
    "wmse": Method(
        "WMSE",
        sides=(0,),
        many_views=BOTH,
        batch="whitening",
        defaults={"whitening_iters": 1, "whitening_size": 256, "whitening_eps": 0.0},
    ),
}
"""The name in the current host's registry -> the facts about the method."""

UNKNOWN = Method("BaseMethod")
"""The facts that are assumed for a method outside of the table."""

REGISTRY = "solo.methods"
NOT_METHODS = ("base", "linear")

_ROWS = {row.base: row for row in METHODS.values()}


def base_methods() -> dict[str, type]:
    """Return the methods that the imported host has registered, without base classes and masked methods."""
    methods = sys.modules[REGISTRY].METHODS
    return {n: method for n, method in methods.items() if n not in NOT_METHODS and not n.startswith(PREFIX)}


def by_name(name: str) -> Method:
    """Return the facts about a method, by its own name or by the name of its masked version.

    Example:
        >>> by_name("amask_wmse").sides
        (0,)
    """
    return METHODS.get(name.removeprefix(PREFIX), UNKNOWN)


def by_class(method: type) -> Method:
    """Return the facts about a class; a user's subclass of a method inherits them."""
    return next((row for _, row in ancestors(method)), UNKNOWN)


def ancestors(method: type) -> Iterator[tuple[type, Method]]:
    """Yield the host's methods among the ancestors of a class, the nearest first, with their rows of the table.

    A user's own class is none of them, even if it has such a name.
    """
    hosts = (one for one in method.__mro__ if one.__name__ in _ROWS and one.__module__.startswith(f"{REGISTRY}."))
    return ((ancestor, _ROWS[ancestor.__name__]) for ancestor in hosts)
