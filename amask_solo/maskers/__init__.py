"""Maskers: which parts of a view to hide."""

from amask_solo.maskers.adios import AdiosUNet
from amask_solo.maskers.base import Masker
from amask_solo.maskers.learned import SequentialMasker, SimultaneousMasker
from amask_solo.maskers.mixture import MixtureMasker
from amask_solo.maskers.networks import PatchHead, UNet
from amask_solo.maskers.objects import ObjectMasker, lend_objects
from amask_solo.maskers.patterns import AnyOf, BandNoise, Block, Centered, Disk, Focal, Grid, random_blocks
from amask_solo.maskers.random import NoMasks, RandomMasker
from amask_solo.maskers.saliency import SaliencyMasker

__all__ = [
    "AdiosUNet",
    "AnyOf",
    "BandNoise",
    "Block",
    "Centered",
    "Disk",
    "Focal",
    "Grid",
    "Masker",
    "MixtureMasker",
    "NoMasks",
    "ObjectMasker",
    "PatchHead",
    "RandomMasker",
    "SaliencyMasker",
    "SequentialMasker",
    "SimultaneousMasker",
    "UNet",
    "lend_objects",
    "random_blocks",
]
