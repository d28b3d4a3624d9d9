"""Do images of a class lie together in feature space, without any training?"""

import torch.nn.functional as F

from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Protocol, Subject
from amask_solo.rules import or_null, table, whole


class Clustering(Protocol):
    """How well k-means of the validation images agrees with their classes.

    Features are scaled to length 1, so that Euclidean distance orders them as cosine similarity does, on which the base
    methods are built. Labels choose nothing: the run with the tightest clusters is scored.

    Args:
        clusters: How many; by default as many as there are classes among these images.
        runs: How often k-means starts, each time from other k-means++ centers.
    """

    needs = ("labels",)
    rules = table(clusters=or_null(whole(2)), runs=whole(1))
    words = table(nmi="NMI", ari="ARI", fmi="FMI")

    def __init__(self, clusters: int | None = None, runs: int = 3) -> None:
        self.clusters, self.runs = clusters, runs

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Return ``nmi`` (normalized mutual information), ``ari`` (adjusted Rand index) and ``fmi``.

        All are in percent, and 100 for clusters that are the classes. ``fmi`` is the Fowlkes-Mallows index: over pairs
        of images, the geometric mean of precision and recall of "the same cluster" as "the same class". Chance is near
        0 for ``ari`` only.
        """
        features, labels = subject.features("val")
        clusters = self.clusters or len(labels.unique())
        if len(labels) < clusters:
            raise UserError(
                f"Expected at least as many labeled validation images in '{subject.data.name}' as clusters "
                f"({clusters}), but got {len(labels)}; add images or lower clusters."
            )
        # amask-pretrain imports this package for its online kNN, and sklearn takes seconds to import.
        from sklearn.cluster import KMeans
        from sklearn.metrics import adjusted_rand_score, fowlkes_mallows_score, normalized_mutual_info_score

        means = KMeans(clusters, n_init=self.runs, random_state=subject.seed)
        found = means.fit_predict(F.normalize(features, dim=1).cpu().numpy())
        classes = labels.cpu().numpy()
        return {
            "nmi": 100 * float(normalized_mutual_info_score(classes, found)),
            "ari": 100 * float(adjusted_rand_score(classes, found)),
            "fmi": 100 * float(fowlkes_mallows_score(classes, found)),
        }
