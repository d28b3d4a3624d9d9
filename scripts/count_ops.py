"""Count the operations that a training step starts, relative to the stock method's: on a GPU, the launches.

Small steps of a GPU are bound by launches, not by arithmetic, and a count needs no GPU: every operation of torch that
makes or changes a tensor counts once, views do not. Optimizers work on all tensors at once, as they do on a GPU by
default. The batch and the size of the images change nothing. `tests/test_count_ops.py` holds the limits.

    python scripts/count_ops.py
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.append(str(Path(__file__).parent))

from benchmarking.interleaved import Run, SameBatch
from benchmarking.models import ALL_OF_FOUR, Setting, build

from amask_solo.projections import area

ARMS = {
    "random blocks": ["masker=random_block"],
    "one sequential mask (the default)": [],
    "three, one drawn": ["masker=sequential_three"],
    "simultaneous, one drawn": ["masker=simultaneous"],
    "N = 4, all shown": ALL_OF_FOUR,
}
METHODS = ("simclr", "byol")
LIMITS = {"one sequential mask (the default)": 1.15, "three, one drawn": 1.35, "simultaneous, one drawn": 1.1}
"""What a step of SimCLR may start at most, relative to stock's."""

NO_LAUNCH = frozenset(
    {
        "aten::_local_scalar_dense",  # the step counters of Adam, which stay on the CPU
        "aten::_unsafe_view",
        "aten::empty.memory_format",
        "aten::new_empty_strided",
        "aten::promote_types",
        "profiler::_record_function_enter_new",
        "profiler::_record_function_exit._RecordFunction",
    }
)
"""Operations that are no views, but do not start anything on a GPU either."""

SETTING = Setting(torch.device("cpu"), "resnet18", 32, 8, 0)


class Operations(TorchDispatchMode):
    """Count operations by name while the context lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Count one operation, if it launches anything."""
        if not func.is_view and func.name() not in NO_LAUNCH:
            self.counts[func.name()] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Let optimizers and the area budget choose what they choose for tensors of a GPU."""
    with (
        mock.patch("torch.optim.sgd._default_to_fused_or_foreach", return_value=(False, True)),
        mock.patch("torch.optim.adam._default_to_fused_or_foreach", return_value=(False, True)),
        mock.patch.object(area, "_threshold_by_halving", area._threshold_by_rank),
    ):
        yield


def count(method: str, overrides: Sequence[str] = ()) -> Counter[str]:
    """Return how often a warm step calls each operation."""
    operations = Operations()
    with as_on_a_gpu():
        number, views, targets = SETTING.views()
        views = [view.contiguous(memory_format=torch.channels_last) for view in views]
        model = build(SETTING, method, overrides).to(memory_format=torch.channels_last)
        run = Run(model, {"train_dataloaders": SameBatch([number, views, targets])}, accelerator="cpu")
        run.turn(2)
        run.turn(1, operations)
        run.stop()
    return operations.counts


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print("| | " + " | ".join(METHODS) + " |\n| --- |" + " --- |" * len(METHODS))
    stock = {method: count(method) for method in METHODS}
    print(f"| the stock method, operations | {' | '.join(str(stock[m].total()) for m in METHODS)} |")
    for arm, overrides in ARMS.items():
        ratios = [count(f"amask_{method}", overrides).total() / stock[method].total() for method in METHODS]
        print(f"| {arm} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |", flush=True)


if __name__ == "__main__":
    main()
