"""The part ``systems``: what a step of each published system costs, and a step of its parts."""

from functools import partial
from typing import Any

from benchmarking.models import Setting, build
from benchmarking.steps import STOCK, interleave, rows_of

ARMS = {
    "mocov2plus": {
        "hexa": ["hexa/mocov2plus"],
        "adversarial pixels": ["amask_mocov2plus", "masker=none", "hard_views=adversarial_pixels"],
        "cutmix": ["amask_mocov2plus", "masker=none", "hard_views=cutmix"],
        "saliency": ["saliency/mean_mocov2plus"],
        "saliency, blur": ["saliency/blur_mocov2plus"],
        "saliency, high-pass": ["saliency/high_pass_mocov2plus"],
        "saliency, no hard negatives": ["saliency/mean_mocov2plus", "negatives=none"],
        "mscn": ["mscn/mocov2plus"],
    },
    "simclr": {
        "saliency": ["saliency/mean_simclr"],
        "saliency, high-pass": ["saliency/high_pass_simclr"],
        "mscn": ["mscn/simclr"],
        "gumbel patches": ["amask_simclr", "masker=gumbel_patches"],
    },
}
"""Base -> name -> the method and further words of the command line."""


def measure_systems(setting: Setting, *, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each system: seconds a step, and their ratio to the stock method's."""
    rows: list[dict[str, Any]] = []
    for base, systems in ARMS.items():
        # The published queue would take longer to fill than all steps that are measured.
        queue = ["method_kwargs.queue_size=4096"] if base == "mocov2plus" else []
        makers = {STOCK: partial(build, setting, base, queue)}
        makers |= {
            name: partial(build, setting, method, [*queue, *words]) for name, (method, *words) in systems.items()
        }
        rows += rows_of(setting, base, *interleave(setting, makers, beside=STOCK, rounds=rounds))
    return rows
