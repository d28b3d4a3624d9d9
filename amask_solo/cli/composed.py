"""Compose the configuration of a command without running it."""

from collections.abc import Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from amask_solo.configuration import config_folder


def composed(config_name: str, arguments: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Return what a checked command line makes of a primary configuration.

    With ``with_hydra``, it includes the node ``hydra`` of Hydra's own settings, such as the launcher.
    """
    # Within a job, Hydra is already initialized.
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(config_folder()), version_base="1.3"):
        return compose(config_name, list(arguments), return_hydra_config=with_hydra)
