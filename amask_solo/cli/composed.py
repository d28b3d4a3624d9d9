"""Compose the configuration of a command without running it."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from amask_solo.configuration import config_folder


def composed(config_name: str, arguments: Sequence[str]) -> DictConfig:
    """Return the configuration of a command, from its primary configuration and a checked command line."""
    return _composed(config_name, arguments)


def present_choices(config_name: str, arguments: Sequence[str]) -> dict[str, str | None]:
    """Return the choice of each group, under Hydra's name of the group, which has its package if that is unusual."""
    return dict(composed_with_hydra(config_name, arguments).hydra.runtime.choices)


def composed_with_hydra(config_name: str, arguments: Sequence[str]) -> DictConfig:
    """Return the configuration with the node ``hydra``, which has Hydra's own settings, such as the launcher."""
    return _composed(config_name, arguments, return_hydra_config=True)


def _composed(config_name: str, arguments: Sequence[str], **options: bool) -> DictConfig:
    # Within a job, Hydra is already initialized.
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(config_folder()), version_base="1.3"):
        return compose(config_name, list(arguments), **options)
