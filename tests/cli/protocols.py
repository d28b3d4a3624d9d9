"""Protocols of one's own, for amask-evaluate."""

import torch

from amask_solo.errors import UserError
from amask_solo.evaluation import Protocol, Subject


class Mean(Protocol):
    """The mean of all training features, a number that only the very backbone on the very images gives.

    Args:
        scale: A factor on it.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if scale == 0:
            raise ValueError(f"Expected scale to be another number than 0, but got {scale}.")
        self.scale = scale

    def __call__(self, subject: Subject) -> dict[str, float]:
        return {"mean": self.scale * subject.features("train")[0].mean().item(), "seed": float(subject.seed)}


class Hidden(Protocol):
    """How much the masker hides, in percent."""

    def __call__(self, subject: Subject) -> dict[str, float]:
        if subject.masker is None:
            raise UserError("There is no masker.")
        view = subject.view(torch.stack([subject.images("train").image(index) for index in range(4)]))
        with torch.no_grad():
            masks = subject.masker(view, generator=torch.Generator().manual_seed(subject.seed))
        return {"area": 100 * masks.mean().item()}


class Statistics(Protocol):
    """With which mean and standard deviation views are normalized."""

    main = "std_0"

    def __call__(self, subject: Subject) -> dict[str, float]:
        numbers = {"mean": subject.data.mean, "std": subject.data.std}
        return {f"{name}_{n}": value for name, values in numbers.items() for n, value in enumerate(values)}
