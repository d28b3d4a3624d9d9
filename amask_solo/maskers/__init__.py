"""Maskers: which parts of a view to hide."""

from amask_solo.maskers.base import Masker
from amask_solo.maskers.networks import PatchHead, UNet
from amask_solo.maskers.random import Block, Focal, Grid, RandomMasker
from amask_solo.maskers.sequential import SequentialMasker
from amask_solo.maskers.simultaneous import SimultaneousMasker

__all__ = [
    "Block",
    "Focal",
    "Grid",
    "Masker",
    "PatchHead",
    "RandomMasker",
    "SequentialMasker",
    "SimultaneousMasker",
    "UNet",
]
