"""What the host does not have or would answer with a bare assertion; told without importing it."""

from collections.abc import Iterable
from importlib.util import find_spec

from omegaconf import DictConfig, OmegaConf

from amask_solo.errors import UserError, unknown_key
from amask_solo.hosts.names import CONTRASTIVE

ONLY_CURRENT = frozenset({"all4one", "mae", "mocov3", "vibcreg"})
"""Methods that the release of the host does not have."""

MISSING = """\
solo-learn, the host of this plugin, is not installed. Install it in one of three ways:
  1. uv:     `make install`, or `uv pip install ".[host]"` in a clone of this project, whose
             pyproject lifts the host's old pins.
  2. pip:    `pip install . einops`, then `pip install --no-deps solo-learn==1.0.2`.
  3. GitHub: clone https://github.com/vturrisi/solo-learn, then put the clone on PYTHONPATH, or
             `PIP_CONSTRAINT=<file with the line "setuptools<81"> pip install --no-deps <clone>`."""


def refuse_missing() -> None:
    """Raise an error if no host is installed.

    Raises:
        UserError: Always then; it says how to install one.
    """
    if find_spec("solo") is None:
        raise UserError(MISSING)


def refuse_only_current(name: str, methods: Iterable[str]) -> None:
    """Raise an error for a method that the installed release does not have, but the current host has.

    Args:
        name: The base method.
        methods: Those of the installed host.

    Raises:
        UserError: If it is such a method.
    """
    if name in ONLY_CURRENT and name not in methods:
        raise UserError(
            f"Method '{name}' exists only in solo-learn's GitHub version, but the release is "
            "installed. Install the GitHub version (README, 'Install'), or choose one of "
            f"{', '.join(sorted(methods))}."
        )


def no_logits(method: str) -> UserError:
    """Return the refusal of hard negatives for a method whose loss is none over logits."""
    return UserError(
        f"adversary.negatives adds a logit to a contrastive loss, which {method} does not have; choose one of "
        f"{', '.join(CONTRASTIVE)}, or leave it out."
    )


def check(cfg: DictConfig, backbones: Iterable[str]) -> None:
    """Refuse settings that the host would answer with a bare assertion.

    Raises:
        UserError: If the backbone is unknown, or DINO's warm-up is longer than the training.
    """
    if cfg.backbone.name not in backbones:
        raise unknown_key(cfg.backbone.name, backbones, "backbone.name")
    warmup = OmegaConf.select(cfg, "method_kwargs.warmup_teacher_temperature_epochs", default=0)
    if warmup > cfg.max_epochs:
        raise UserError(
            "Expected method_kwargs.warmup_teacher_temperature_epochs to be at most "
            f"max_epochs={cfg.max_epochs}, but got {warmup}. Shorten the warm-up, or train longer."
        )
