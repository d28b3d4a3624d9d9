"""The yaml files of one kind: every one of them has to keep the contract of its kind."""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[2] / "configs"


def names(group):
    found = sorted(path.stem for path in (ROOT / group).glob("*.yaml"))
    if not found:
        raise FileNotFoundError(f"No yaml file in {ROOT / group}.")
    return found


def build(group, name):
    return instantiate(OmegaConf.load(ROOT / group / f"{name}.yaml"))
