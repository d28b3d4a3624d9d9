"""The names of timm's models. Functions that need more than the name import timm, which takes seconds."""

import difflib
from functools import cache

from amask_solo.errors import UserError

TIMM = "timm/"
"""The prefix of timm's backbones, as in ``timm/resnet34``; the host's backbones have none."""

RESNETS = ("resnet", "res2net", "resnest", "sknet")
"""The modules of timm whose models are of its class ``ResNet``, whose stem the host changes."""

PLAIN_VITS = ("vision_transformer", "deit")
"""The modules whose models are of timm's class ``VisionTransformer``: absolute positions; any patch may be absent."""

VITS = (*PLAIN_VITS, "vision_transformer_relpos", "vision_transformer_sam", "beit", "eva", "cait", "xcit")
"""The modules of timm whose models have a single grid of patches."""


def is_timm(name: str) -> bool:
    """Return whether a backbone's name has timm's prefix."""
    return name.startswith(TIMM)


def bare(name: str) -> str:
    """Return timm's own name of a model, without the tag of pretrained weights.

    Example:
        >>> bare("timm/resnet18.a1_in1k")
        'resnet18'
    """
    return name.removeprefix(TIMM).partition(".")[0]


@cache
def timm_models() -> dict[str, str]:
    """Return name -> defining module, without its folder, for all models of the installed timm.

    Example:
        >>> timm_models()["vit_tiny_patch16_224"]
        'vision_transformer'
    """
    import timm

    # The hosts register functions of their own, which are not part of timm.
    return {
        name: vars(timm.models)[name].__module__.rpartition(".")[2]
        for name in timm.list_models()
        if name in vars(timm.models)
    }


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
    return _is_of(name, RESNETS) if is_timm(name) else name.startswith("resnet")


def is_plain_vit(name: str) -> bool:
    """Return whether a backbone of the host or of timm is a vision transformer that can leave out patches.

    Example:
        >>> [is_plain_vit(name) for name in ("vit_tiny", "timm/vit_tiny_patch16_224", "timm/cait_s24_224")]
        [True, True, False]
    """
    return _is_of(name, PLAIN_VITS) if is_timm(name) else name.startswith("vit_")


def _is_of(name: str, modules: tuple[str, ...]) -> bool:
    return timm_models().get(bare(name)) in modules


@cache
def patch_size(name: str) -> int | None:
    """Return the default patch size, in pixels, of a vision transformer of the host or of timm.

    Returns:
        The side of a patch; ``None`` if the backbone is not a vision transformer with a single grid of patches.
    """
    if not is_timm(name):
        return 16 if name.startswith("vit_") else None
    if not _is_of(name, VITS):
        return None
    import timm
    import torch

    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        side = vars(timm.models)[bare(name)]().patch_embed.patch_size
    return side if isinstance(side, int) else side[0]
