"""Protocols: frozen features, or masks, to numbers. Each is imported when it is asked for, and torch with it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from amask_solo.signatures import defining_module

if TYPE_CHECKING:
    from amask_solo.evaluation.attack import Attack
    from amask_solo.evaluation.backbone import Backbone
    from amask_solo.evaluation.clustering import Clustering
    from amask_solo.evaluation.embeddings import Embeddings
    from amask_solo.evaluation.greedy import Greedy
    from amask_solo.evaluation.knn import KNN, weighted_knn
    from amask_solo.evaluation.linear import Linear
    from amask_solo.evaluation.masks import MaskMatch
    from amask_solo.evaluation.protocol import Protocol, Subject
    from amask_solo.evaluation.robustness import Robustness
    from amask_solo.evaluation.segmentation import Segmentation
    from amask_solo.evaluation.segmenter import FineTuneSegmentation
    from amask_solo.evaluation.trained import FineTune, HostLinear
    from amask_solo.evaluation.transfer import Transfer

__all__ = [
    "KNN",
    "Attack",
    "Backbone",
    "Clustering",
    "Embeddings",
    "FineTune",
    "FineTuneSegmentation",
    "Greedy",
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


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(str(defining_module(f"{__name__}.{name}"))), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
