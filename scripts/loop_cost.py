#!/usr/bin/env python
"""Compare a step of `Adversary.play` in a plain loop with the same step written by hand, and with one without masks.

By hand means: masker, `occlude`, and a hook that changes the sign of the gradient at the masks. The three steps take
turns in one process, on equal networks and the same batch; the numbers are medians of processor time.

    python scripts/loop_cost.py                     # writes results/loop/cost.json
"""

import argparse
import json
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from statistics import median

import torch
from benchmarking.report import environment
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torchvision.models import resnet18

from amask_solo import Adversary, Game, SequentialMasker, WeightedSum, Zero, occlude

OUT = Path(__file__).parents[1] / "results" / "loop" / "cost.json"
ROUNDS = 40
SIZE, BATCH = 32, 64
Step = Callable[[Tensor, Tensor], None]


def objective(encoder: nn.Module) -> Callable[..., Tensor]:
    """Return SimCLR's loss of two views."""

    def loss(views: tuple[Tensor, Tensor]) -> Tensor:
        z = normalize(encoder(torch.cat(list(views))), dim=1)
        similarity = (z @ z.T / 0.2).fill_diagonal_(-torch.inf)
        return cross_entropy(similarity, torch.arange(len(z)).roll(len(z) // 2))

    return loss


def without_masks(encoder: nn.Module) -> Step:
    """Return a step of SimCLR."""
    optimizer, loss = torch.optim.AdamW(encoder.parameters()), objective(encoder)

    def step(x1: Tensor, x2: Tensor) -> None:
        optimizer.zero_grad()
        loss((x1, x2)).backward()
        optimizer.step()

    return step


def by_hand(encoder: nn.Module, masker: nn.Module) -> Step:
    """Return a step with learned masks as one would write it for one masker, one fill and no constraint."""
    optimizer, loss = torch.optim.AdamW(encoder.parameters()), objective(encoder)
    opponent = torch.optim.AdamW(masker.parameters())

    def step(x1: Tensor, x2: Tensor) -> None:
        masks = masker(x2)
        masks.register_hook(torch.neg)
        optimizer.zero_grad()
        opponent.zero_grad()
        loss((x1, occlude(x2, masks, torch.zeros_like(x2)))).backward()
        optimizer.step()
        opponent.step()

    return step


def played(encoder: nn.Module, masker: SequentialMasker) -> Step:
    """Return the same step by :class:`Adversary`."""
    optimizer, loss = torch.optim.AdamW(encoder.parameters()), objective(encoder)
    adversary = Adversary(Game(masker, Zero(), WeightedSum()))

    def step(x1: Tensor, x2: Tensor) -> None:
        turn = adversary.play([x1, x2], loss)
        optimizer.zero_grad()
        turn.objective.backward()
        optimizer.step()
        adversary.step()

    return step


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help=f"the JSON file; default: {OUT}")
    out = parser.parse_args().out
    torch.manual_seed(0)
    torch.set_num_threads(1)
    encoder, masker = resnet18(num_classes=128), SequentialMasker(num_masks=1)
    steps = {
        "without masks": without_masks(deepcopy(encoder)),
        "by hand": by_hand(deepcopy(encoder), deepcopy(masker)),
        "played": played(deepcopy(encoder), deepcopy(masker)),
    }
    views = torch.rand(2, BATCH, 3, SIZE, SIZE)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            begin = time.process_time()
            step(*views)
            seconds[name].append(time.process_time() - begin)
    medians = {name: median(found[3:]) for name, found in seconds.items()}
    report = {
        "seconds": medians,
        "played_to_by_hand": medians["played"] / medians["by hand"],
        "by_hand_to_without_masks": medians["by hand"] / medians["without masks"],
        "setting": {"backbone": "resnet18", "size": SIZE, "batch": BATCH, "rounds": ROUNDS},
        "environment": environment(torch.device("cpu"), 0),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
