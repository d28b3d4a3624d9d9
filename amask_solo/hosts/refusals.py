"""Errors about settings that the host lacks or answers with a bare assertion; found without importing it."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec

from omegaconf import DictConfig, OmegaConf

from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.methods import METHODS, by_class
from amask_solo.hosts.names import TIMM, check_timm, is_plain_vit, is_timm

OURS = frozenset({"num_classes", "in_chans", "features_only"})
"""Arguments of timm's models that set their inputs and outputs, and so are not the user's."""

MISSING = """\
solo-learn, the host of this plugin, is not installed. Install it in one of three ways:
  1. uv:     `make install`, or `uv pip install ".[host]"` in a clone of this project, whose
             pyproject lifts the host's old pins.
  2. pip:    `pip install '.[run]' einops`, then `pip install --no-deps solo-learn==1.0.2`;
             from Python 3.12 on also setuptools.
  3. GitHub: `pip install '.[run]' einops`, clone https://github.com/vturrisi/solo-learn, then put the
             clone on PYTHONPATH, or
             `PIP_CONSTRAINT=<file with the line "setuptools<81"> pip install --no-deps <clone>`."""


def refuse_missing() -> None:
    """Raise a ``UserError`` that says how to install a host, if none is installed."""
    if find_spec("solo") is None:
        raise UserError(MISSING)


def no_logits(method: str) -> UserError:
    """Return the error about hard negatives for a method whose loss has no logits."""
    others = ", ".join(name for name, row in METHODS.items() if row.contrast)
    return UserError(
        f"adversary.negatives adds a logit to a contrastive loss, which {method} does not have; choose one of "
        f"{others}, or leave it out."
    )


def refuse_unmaskable(method: type) -> None:
    """Raise a ``UserError`` if a method, or an ancestor of it, hides parts of its input by itself."""
    row = by_class(method)
    if not row.sides:
        raise UserError(
            f"{row.base} cannot be masked: it has one view and hides patches of it by itself. Choose a method with two "
            "views."
        )


def refuse_side(method: type, side: int | str | None) -> None:
    """Raise a ``UserError`` if a method passes no gradient to the view that is to be masked."""
    if side in {0, 1}.difference(by_class(method).sides):
        raise UserError(
            f"{method.__name__} passes no gradient to view {side}, so neither a masker nor an attack would learn "
            "anything there; leave adversary.side out, or take masks that are not learned and no adversarial pixels."
        )


def refuse_whole_images(backbone: DictConfig) -> None:
    """Raise a ``UserError`` for a backbone that cannot leave out patches of an image.

    It must be a vision transformer that has one position for each patch and does not leave out patches by itself.
    """
    if not is_plain_vit(backbone.name):
        raise UserError(
            f"adversary.drop_tokens leaves patches out of a vision transformer, and backbone.name={backbone.name} is "
            f"none that can do without them; choose vit_tiny, {TIMM}vit_tiny_patch16_224 or the like, or leave it out."
        )
    for key in {"dynamic_img_size", "patch_drop_rate"}.intersection(backbone.get("kwargs") or ()):
        raise UserError(f"adversary.drop_tokens does not go with backbone.kwargs.{key}; leave one of them out.")


def check(cfg: DictConfig, backbones: Iterable[str]) -> None:
    """Refuse settings that the host would answer with a bare assertion.

    Raises:
        UserError: If the backbone is none of the host's, which are given, nor timm's, or gets an argument that users
            may not set, or if DINO's warm-up is longer than the training.
    """
    name, kwargs = cfg.backbone.name, cfg.backbone.get("kwargs") or {}
    if not isinstance(kwargs, Mapping):
        raise UserError(f"Expected backbone.kwargs to have keys below it, but got {kwargs!r}.")
    if is_timm(name):
        check_timm(name)
        channels = len(OmegaConf.select(cfg, "images.mean", default=()))  # of images that are not RGB, set by the run
        for key in OURS.intersection(kwargs) - ({"in_chans"} if kwargs.get("in_chans") == channels else set()):
            raise UserError(f"backbone.kwargs.{key} is not free: {name} has to make a vector of an image in color.")
    else:
        check_backbone_name(name, backbones)
    check_warmup(cfg)


def check_backbone_name(name: str, backbones: Iterable[str]) -> None:
    """Raise a ``UserError`` if a backbone without timm's prefix is none of the host's."""
    if name not in backbones:
        raise UserError(
            f"{unknown_key(name, backbones, 'backbone.name')} If timm has it, then give backbone.name={TIMM}{name}."
        )


def check_warmup(cfg: DictConfig) -> None:
    """Raise a ``UserError`` if the warm-up of DINO's teacher is longer than the training."""
    warmup = OmegaConf.select(cfg, "method_kwargs.warmup_teacher_temperature_epochs", default=0)
    if warmup > cfg.max_epochs:
        raise UserError(
            "Expected method_kwargs.warmup_teacher_temperature_epochs to be at most "
            f"max_epochs={cfg.max_epochs}, but got {warmup}. Shorten the warm-up, or train longer."
        )
