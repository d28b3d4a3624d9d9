"""The names of the host's optimizers, schedulers and backbones, and of timm's models.

Functions that need more than timm's name of a model import timm, which takes seconds.
"""

import difflib
from functools import cache

from amask_solo.errors import UserError

OPTIMIZERS = {
    "sgd": "torch.optim.SGD",
    "lars": "amask_solo.hosts.lars.LARS",
    "adam": "torch.optim.Adam",
    "adamw": "torch.optim.AdamW",
}
"""The host's name of an optimizer -> its class."""

STATISTICS = {
    "cifar10": {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2470, 0.2435, 0.2616]},
    "cifar100": {"mean": [0.5071, 0.4865, 0.4409], "std": [0.2673, 0.2564, 0.2762]},
    "stl10": {"mean": [0.4914, 0.4823, 0.4466], "std": [0.247, 0.243, 0.261]},
}
"""The data sets that the host's own scripts normalize by numbers of their own; others have ImageNet's by default."""

SCHEDULERS = ("warmup_cosine", "step", "none")
RESNETS = ("resnet18", "resnet50")
SIZES = ("tiny", "small", "base", "large")
TIMM_NAMES = {
    **{name: name for name in RESNETS},
    **{f"vit_{size}": f"vit_{size}_patch16_224" for size in SIZES},
    **{f"swin_{size}": f"swin_{size}_patch4_window7_224" for size in SIZES},
    **{f"convnext_{size}": f"convnext_{size}" for size in SIZES},
}
"""The host's name of a backbone -> timm's."""

BACKBONES = (
    *TIMM_NAMES,
    *(f"poolformer_{size}" for size in ("s12", "s24", "s36", "m36", "m48")),
    *(f"wide_resnet28w{width}" for width in (2, 8)),
)
"""The backbones of the current host; the release has fewer."""

TIMM = "timm/"
"""The prefix of timm's backbones, as in ``timm/resnet34``; the host's backbones have none."""

TIMM_RESNETS = ("resnet", "res2net", "resnest", "sknet")
"""The modules of timm whose models are of its class ``ResNet``, whose stem the host changes."""

PLAIN_VITS = ("vision_transformer", "deit")
"""The modules whose models are of timm's class ``VisionTransformer``: absolute positions; any patch may be absent."""

VITS = (*PLAIN_VITS, "vision_transformer_relpos", "vision_transformer_sam", "beit", "eva", "cait", "xcit")
"""The modules of timm whose models have a single grid of patches."""


def is_timm(name: str) -> bool:
    """Return whether a backbone's name has timm's prefix."""
    return name.startswith(TIMM)


def bare(name: str) -> str:
    """Return timm's own name of a model without the tag of pretrained weights: resnet18 for timm/resnet18.a1_in1k."""
    return name.removeprefix(TIMM).partition(".")[0]


@cache
def timm_models() -> dict[str, str]:
    """Return name -> defining module, without its folder, for all models of the installed timm."""
    import timm

    # The hosts register functions of their own, which are not part of timm.
    own = {name: vars(timm.models).get(name) for name in timm.list_models()}
    return {name: model.__module__.rpartition(".")[2] for name, model in own.items() if model}


def check_timm(name: str) -> None:
    """Raise a ``UserError`` that names the nearest known models if timm does not have a model."""
    known = timm_models()
    if bare(name) not in known:
        close = difflib.get_close_matches(bare(name), known, n=3, cutoff=0.5)
        names = " or ".join(f"'{TIMM}{one}'" for one in close)
        hint = f"did you mean {names}?" if close else "timm.list_models() has all of them."
        raise UserError(f"timm has no model '{name.removeprefix(TIMM)}'; {hint}")


def is_resnet(name: str) -> bool:
    """Return whether a backbone of the host or of timm is a ResNet with a stem for large images."""
    return _is_of(name, TIMM_RESNETS) if is_timm(name) else name.startswith("resnet")


def is_plain_vit(name: str) -> bool:
    """Return whether a backbone of the host or of timm is a vision transformer that can leave out patches."""
    return _is_of(name, PLAIN_VITS) if is_timm(name) else name.startswith("vit_")


def _is_of(name: str, modules: tuple[str, ...]) -> bool:
    return timm_models().get(bare(name)) in modules


@cache
def patch_size(name: str) -> int | None:
    """Return the default side of a patch, in pixels; ``None`` unless the backbone is a ViT with one grid of patches."""
    if not is_timm(name):
        return 16 if name.startswith("vit_") else None
    if not _is_of(name, VITS):
        return None
    import timm
    import torch

    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        side = vars(timm.models)[bare(name)]().patch_embed.patch_size
    return side if isinstance(side, int) else side[0]
