"""The features themselves: written to files, and drawn as a map."""

import io
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from torch import Tensor

from amask_solo.data.subsets import balanced_subset
from amask_solo.errors import UserError
from amask_solo.evaluation.protocol import Protocol, Split, Subject
from amask_solo.files import write_whole
from amask_solo.rules import one_of, several, table, whole
from amask_solo.visualization.panels import save_panel
from amask_solo.visualization.plots import embedding_map

NEIGHBORS = 5
"""How many neighbors of each point a good map keeps."""


class Embeddings(Protocol):
    """Write the features of all images with their labels and names, and draw a map of those to validate on, if any.

    ``embeddings_DATA_train.npz`` and ``embeddings_DATA_val.npz`` hold ``features`` ``(n, d)`` as the backbone gives
    them, ``labels`` ``(n,)`` (-1 without one), ``class_names``, and ``names`` where the images have any, in the same
    order; ``numpy.load`` reads them. ``embeddings_DATA.png`` is the map: by UMAP if umap-learn is installed, otherwise
    the first two principal components; its title says which. The run's report takes it up.

    The score says how far the map can be believed: its ``trustworthiness`` in percent is 100 if the five nearest points
    of each point on the map are also near in feature space, and about 50 of a map drawn at random.

    Cost: one pass over the images, 4 bytes a feature (ImageNet with a ResNet-50: 10 GB, ``splits: [val]`` 0.4), and
    seconds for the map.

    Args:
        splits: The parts whose features are written.
        method: ``umap``, ``pca``, or ``auto`` by what is installed.
        most: The most images on the map, of each class alike.

    References:
        McInnes et al., `UMAP <https://arxiv.org/abs/1802.03426>`_, 2018. Venna and Kaski, `Neighborhood preservation in
        nonlinear projection methods <https://doi.org/10.1007/3-540-44668-0_68>`_, 2001.
    """

    rules = table(splits=several(one_of("train", "val")), method=one_of("auto", "umap", "pca"), most=whole(3))
    no_percent = ("images", "dimensions")

    def __init__(self, *, splits: Sequence[Split] = ("train", "val"), method: str = "auto", most: int = 2000) -> None:
        if method == "umap" and not find_spec("umap"):
            raise UserError('method=umap needs umap-learn: pip install "amask-solo[umap]"; or method=pca.')
        self.splits, self.most = list(splits), most
        self.method = ("umap" if find_spec("umap") else "pca") if method == "auto" else method

    def __call__(self, subject: Subject) -> dict[str, float]:
        """Write the files, and return ``trustworthiness``, ``images`` on the map, and ``dimensions`` of a feature.

        Raises:
            UserError: If there are fewer than 3 images for the map, or no folder to write to, or ``splits`` names
                nothing but validation images where there are none.
        """
        stem = f"embeddings_{subject.data.name}"
        # A folder of images without labels is all to learn from.
        shown: Split = "val" if subject.data.val or self.splits == ["val"] else "train"
        written = [split for split in self.splits if split in ("train", shown)]
        features = {split: _features(subject, split).numpy() for split in dict.fromkeys([*written, shown])}
        for split in written:
            _write(subject, split, features[split], f"{stem}_{split}.npz")
        images = subject.images(shown)
        picks = balanced_subset(images.labels, self.most, seed=subject.seed)
        if len(picks) < 3:
            raise UserError(f"Expected at least 3 images for a map, but got {len(picks)}.")
        mapped = features[shown][picks.numpy()]
        name, draw = MAPS[self.method]
        points = draw(mapped, subject.seed)
        title = f"{name} of the features of {subject.data.name}"
        figure = embedding_map(points, images.labels[picks].numpy(), subject.data.class_names, title=title)
        save_panel(figure, subject.place(f"{stem}.png"))
        kept = trustworthiness(mapped, points, n_neighbors=min(NEIGHBORS, (len(points) - 1) // 2))
        return {"trustworthiness": 100 * float(kept), "images": len(points), "dimensions": mapped.shape[1]}


@torch.no_grad()
def _features(subject: Subject, split: Split) -> Float[Tensor, "n d"]:
    """Return the features of all images, labeled or not, on the CPU."""
    batches = subject.batches(subject.images(split))
    return torch.cat([subject.encode(subject.view(pixels)).cpu() for pixels, _ in batches])


def _write(subject: Subject, split: Split, features: Float[np.ndarray, "n d"], name: str) -> None:
    images = subject.images(split)
    texts = {"class_names": subject.data.class_names} | ({} if images.names is None else {"names": images.names})
    columns: Any = {name: np.array(words, dtype=str) for name, words in texts.items()}
    content = io.BytesIO()
    np.savez(content, features=features, labels=images.labels.cpu().numpy(), **columns)
    write_whole(subject.place(name), content.getbuffer())


def _umap(features: np.ndarray, seed: int) -> np.ndarray:
    from umap import UMAP

    return UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed, n_jobs=1).fit_transform(features)


MAPS: dict[str, tuple[str, Callable[[np.ndarray, int], np.ndarray]]] = {
    "umap": ("UMAP", _umap),
    "pca": ("Principal components", lambda features, _: PCA(2, svd_solver="full").fit_transform(features)),
}
