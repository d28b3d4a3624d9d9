"""Compose the configuration of a command without running it."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from amask_solo.configuration import config_folder


def composed(config_name: str, arguments: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Return the configuration of a command.

    Args:
        config_name: The primary configuration.
        arguments: A checked command line.
        with_hydra: Whether to include the node ``hydra``, which has Hydra's own settings, such as the launcher.
    """
    # Within a job, Hydra is already initialized.
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(config_folder()), version_base="1.3"):
        return compose(config_name, list(arguments), return_hydra_config=with_hydra)
