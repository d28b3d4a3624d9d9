"""The part ``tokens``: what a vision transformer saves if hidden patches are left out."""

from dataclasses import replace
from functools import partial
from typing import Any

from benchmarking.models import Setting, build
from benchmarking.steps import STOCK, interleave, rows_of

PATCH = 8
RANDOM = ["masker=random_grid", f"adversary.masker.pattern.patch={PATCH}", "adversary.masker.area=0.5"]
LEARNED = ["masker=gumbel_patches", f"adversary.masker.projection.patch_size={PATCH}"]
LEARNED += ["adversary.masker.projection.inner.area=0.5"]
DROPPED = ["++adversary.drop_tokens=true"]
ARMS = {
    "random patches, painted": RANDOM,
    "random patches, left out": [*RANDOM, *DROPPED],
    "learned patches, painted": LEARNED,
    "learned patches, left out": [*LEARNED, *DROPPED],
}
"""Name -> further words of the command line; half of one view is hidden in all of them."""


def measure_tokens(setting: Setting, *, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each arm and method: seconds a step, and their ratio to the stock method's."""
    setting = replace(setting, backbone="vit_tiny")
    patches = f"++backbone.kwargs.patch_size={PATCH}"
    every = [patches, "adversary.share=1.0"]  # of all images, or patches cannot be left out
    rows: list[dict[str, Any]] = []
    for method in ("simclr", "byol"):
        makers = {STOCK: partial(build, setting, method, [patches])}
        makers |= {name: partial(build, setting, f"amask_{method}", [*every, *words]) for name, words in ARMS.items()}
        rows += rows_of(setting, method, *interleave(setting, makers, beside=STOCK, rounds=rounds))
    return [row | {"backbone": f"{row['backbone']}, patches of {PATCH} px"} for row in rows]
