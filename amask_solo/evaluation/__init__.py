"""Protocols: frozen features, or masks, to numbers."""

from amask_solo.evaluation.attack import Attack
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.clustering import Clustering
from amask_solo.evaluation.finetune import FineTune
from amask_solo.evaluation.host_linear import HostLinear
from amask_solo.evaluation.knn import KNN, weighted_knn
from amask_solo.evaluation.linear import Linear
from amask_solo.evaluation.masks import MaskMatch
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.evaluation.robustness import Robustness
from amask_solo.evaluation.segmentation import Segmentation
from amask_solo.evaluation.transfer import Transfer

__all__ = [
    "KNN",
    "Attack",
    "Backbone",
    "Clustering",
    "FineTune",
    "HostLinear",
    "Linear",
    "MaskMatch",
    "Protocol",
    "Robustness",
    "Segmentation",
    "Subject",
    "Transfer",
    "weighted_knn",
]
