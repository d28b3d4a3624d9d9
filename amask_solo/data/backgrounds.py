"""The Backgrounds Challenge for a classifier of ImageNet or of a part of it."""

from collections.abc import Mapping, Sequence
from typing import Literal

from amask_solo.data.base import ImageData
from amask_solo.data.image_folder import LISTS, load_image_folder
from amask_solo.data.published import Split, add_variants, list_splits
from amask_solo.errors import UserError
from amask_solo.files import check_holds, expanded

FOLDERS = ("imagenet",)
OTHER = "other"
"""A tenth class, of all predictions outside of the nine; no image has it."""


def load_imagenet_backgrounds(
    *,
    imagenet: str,
    root: str,
    variants: Mapping[str, Split],
    gaps: Mapping[str, Sequence[str]],
    holds: Sequence[str],
    classes: str | None = None,
    source: str | None = None,
    image_size: int | Literal["auto"] = 224,
    max_images: int | None = None,
    seed: int = 0,
    mean: Sequence[float] | str = "auto",
    std: Sequence[float] | str = "auto",
    name: str = "imagenet_backgrounds",
) -> ImageData:
    """Take ImageNet, or some of its classes, and the test images of the Backgrounds Challenge as variants.

    A classifier of the classes of ImageNet is scored on the variants by the map of the challenge from these classes to
    its nine; a prediction outside of the nine is wrong.

    Args:
        imagenet: The folder of ImageNet, with ``train`` and ``val``.
        root: The folder that holds the challenge.
        variants: Its splits, by name.
        gaps: As in :func:`~amask_solo.data.load_published`.
        holds: As there.
        classes: As in :func:`~amask_solo.data.load_image_folder`.
        source: As in :func:`~amask_solo.data.load_published`.
        image_size: Height and width of the views.
        max_images: The most images to keep of each split.
        seed: Of the subset.
        mean: Channel means, or ``auto``.
        std: Channel standard deviations, or ``auto``.
        name: What the set is called in summaries.

    Raises:
        UserError: If one of the two is not there.

    References:
        Xiao et al., `Noise or Signal: The Role of Image Backgrounds in Object Recognition
        <https://arxiv.org/abs/2006.09994>`_, ICLR 2021.
    """
    folder = expanded(root)
    check_holds(name, folder, holds, source=source, can_download=False)
    nine = read_nine()
    names, files = list_splits("ImageFolder", folder, variants)
    if names != [f"{number:02d}_{kind}" for number, kind in enumerate(nine)]:
        raise UserError(f"Expected the nine classes {', '.join(nine)} in {folder}, but got {', '.join(names)}.")
    data = load_image_folder(
        root=imagenet,
        classes=classes,
        image_size=image_size,
        max_images=max_images,
        seed=seed,
        mean=mean,
        std=std,
        name=name,
    )
    places = {wordnet: number for number, members in enumerate(nine.values()) for wordnet in members}
    counts_as = tuple(places.get(wordnet, len(nine)) for wordnet in data.class_names)
    if set(counts_as) == {len(nine)}:
        raise UserError(
            f"None of the classes of data.imagenet={imagenet} is among those of IN-9; name them by WordNet."
        )
    return add_variants(
        data,
        files,
        gaps,
        num_classes=len(nine) + 1,
        class_names=[*nine, OTHER],
        counts_as=counts_as,
        max_images=max_images,
        seed=seed,
    )


def read_nine() -> dict[str, list[str]]:
    """Return the nine classes of IN-9 in their order, and of which classes of ImageNet each consists."""
    nine: dict[str, list[str]] = {}
    for line in (LISTS / "imagenet9.txt").read_text().splitlines():
        if not line.startswith("#"):
            kind, _, members = line.partition(": ")
            nine.setdefault(kind, []).extend(members.split())
    return nine
