"""What is true of each method of the host: one table, and the only place in this package that names these methods.

A method of the host costs one row here and two files in ``configs/method``. The facts were measured, since no signature
tells them. Nothing heavy is imported: settings are checked against the table before torch is.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from amask_solo.layout import PREFIX


class Method(NamedTuple):
    """What is true of one method; the defaults are true of most.

    Attributes:
        base: The name of its class in the host.
        sides: The numbers of the views that a mask reaches a gradient through; the first is masked, unless another one
            is asked for. None if the method hides parts of its input by itself.
        many_views: Whether it takes more than two views; the others unpack exactly two.
        first_epoch: The first epoch, from 0, in which its objective has a gradient.
        until_then: What it lacks before, as what follows its name.
        contrast: The names, in either generation, of the loss function that is a cross-entropy over similarities; none
            if its loss is another one.
        batch: What the number of images in a batch must be, which :mod:`amask_solo.settings.method` has the rules of.
        gelu: Whether the activation in its projector is GELU, not ReLU, which no tensor tells.
        only_current: Whether the release of the host lacks it.
        option_of: The name of the method that it is an option of in the release, if it is one.
        defaults: What the release must be told, unless the configuration says otherwise below ``method_kwargs``; mostly
            what the current host fills in there by itself.
    """

    base: str
    sides: tuple[int, ...] = (1, 0)
    many_views: bool = False
    first_epoch: int = 0
    until_then: str = ""
    contrast: tuple[str, ...] = ()
    batch: Literal["whitening", "queue", "optional queue", "memory"] | None = None
    gelu: bool = False
    only_current: bool = False
    option_of: str | None = None
    defaults: Mapping[str, Any] = MappingProxyType({})


QUEUE = {"queue_size": 65536}
INFO_NCE = ("simclr_loss_func",)
METHODS = {
    "all4one": Method("All4One", batch="queue", only_current=True, defaults=QUEUE),
    "barlow_twins": Method("BarlowTwins", defaults={"lamb": 0.0051, "scale_loss": 0.024}),
    "byol": Method("BYOL", many_views=True),
    "deepclusterv2": Method(
        "DeepClusterV2",
        first_epoch=1,
        until_then="has no clusters to predict",
        batch="memory",
        defaults={"num_prototypes": [3000, 3000, 3000], "temperature": 0.1, "kmeans_iters": 10},
    ),
    "dino": Method(
        "DINO",
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
    "simclr": Method("SimCLR", many_views=True, contrast=INFO_NCE),
    "simsiam": Method("SimSiam"),
    "supcon": Method("SupCon", many_views=True, contrast=INFO_NCE, option_of="simclr", defaults={"supervised": True}),
    "swav": Method(
        "SwAV",
        many_views=True,
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
        many_views=True,
        batch="whitening",
        defaults={"whitening_iters": 1, "whitening_size": 256, "whitening_eps": 0.0},
    ),
}
"""The name in the current host's registry -> what is true of the method."""

UNKNOWN = Method("BaseMethod")
"""What is taken to be true of a method that the table does not have."""

_ROWS = {row.base: row for row in METHODS.values()}


def by_name(name: str) -> Method:
    """Return what is true of a method of the host, by its own name or that of its masked version.

    Example:
        >>> by_name("amask_wmse").sides
        (0,)
    """
    return METHODS.get(name.removeprefix(PREFIX), UNKNOWN)


def by_class(method: type) -> Method:
    """Return what is true of a class; one's own subclass of a method inherits it."""
    return next((row for _, row in ancestors(method)), UNKNOWN)


def ancestors(method: type) -> Iterator[tuple[type, Method]]:
    """Yield the classes of the host's methods that a class descends from, the nearest first, with their rows."""
    return ((ancestor, _ROWS[ancestor.__name__]) for ancestor in method.__mro__ if ancestor.__name__ in _ROWS)
