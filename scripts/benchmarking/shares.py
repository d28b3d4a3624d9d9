"""The part ``shares``: where the time of a masked step goes, and so where the next bottleneck is."""

from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from amask_solo.hosts.installed import load_host
from benchmarking.interleaved import Run, SameBatch
from benchmarking.models import ALL_OF_FOUR, Setting, build

LINES = {
    "one drawn mask": [],
    "N=4": ALL_OF_FOUR,
    "N=4, ADIOS's masks and penalty": ["masker=simultaneous", "constraint=inverse_sine", *ALL_OF_FOUR],
}
MASKER, CONSTRAINT, CLEAN, MASKED = "masker", "constraint", "first layer, clean views", "first layer, masked views"
REST = "host"
FORWARD, BACKWARD = "forward", "backward"


def measure_shares(setting: Setting, *, rounds: int) -> list[dict[str, Any]]:
    """Return what a step of masked BYOL is spent on, forward and backward, under PyTorch's profiler.

    The encoder's first layer is listed by itself: on masked views its backward pass reaches the pixels, which the stock
    method does not need. ``host`` is the rest: encoders and heads, and in "forward" also optimizer and teacher.

    Args:
        setting: Where to run; on a GPU the time of kernels is counted, elsewhere that of operations.
        rounds: How many steps to take medians of.
    """
    rows = []
    for title, line in LINES.items():
        model = build(setting, "amask_byol", line)
        _name_parts(model)
        run = Run(model, {"train_dataloaders": SameBatch(setting.views())}, **setting.trainer())
        run.turn(2)  # warm-up
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        cuda = setting.device.type == "cuda"
        for _ in range(rounds):
            watch = profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * cuda])
            run.turn(1, watch)
            spent = _spent(watch.events(), cuda=cuda)
            for part in _parts():
                found[part].append(spent[part] / spent.total())
        run.stop()
        common = {**setting.facts(), "arm": title}
        rows += [{**common, "part": " ".join(part), "share": median(shares)} for part, shares in found.items()]
    return rows


def _parts() -> list[tuple[str, str]]:
    return [(part, way) for part in (MASKER, CONSTRAINT, CLEAN, MASKED, REST) for way in (FORWARD, BACKWARD)]


def _name_parts(model: LightningModule) -> None:
    """Let the profiler know the parts by name."""
    game = model.adversary.game
    game.propose = _named(MASKER, game.propose)
    game.constraint.forward = _named(CONSTRAINT, game.constraint.forward)
    backbone = getattr(model, load_host().backbone)
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    plain = first.forward

    def forward(images: torch.Tensor) -> torch.Tensor:
        with record_function(MASKED if images.requires_grad else CLEAN):
            return plain(images)

    first.forward = forward


def _named(part: str, call: Callable) -> Callable:
    def inside(*args: Any, **kwargs: Any) -> Any:
        with record_function(part):
            return call(*args, **kwargs)

    return inside


def _spent(events: list[FunctionEvent], *, cuda: bool) -> Counter[tuple[str, str]]:
    """Return the time of all operations of a step by part; a backward operation belongs to its forward operation."""
    part_of = partial(_ancestor, matches=lambda event: event.name in (MASKER, CONSTRAINT, CLEAN, MASKED))
    node_of = partial(_ancestor, matches=lambda event: event.name.startswith("autograd::engine::evaluate_function"))
    # The work of a device is counted where it was asked for.
    events = [event for event in events if event.device_type == DeviceType.CPU]
    parts = {}
    # An operation without a gradient has the number of the next one with a gradient, so the last one with it counts.
    for event in sorted(events, key=lambda event: event.time_range.start):
        if event.sequence_nr >= 0 and not node_of(event):
            part = part_of(event)
            parts[event.sequence_nr] = part.name if part else REST
    spent: Counter[tuple[str, str]] = Counter()
    for event in events:
        node, part = node_of(event), part_of(event)
        place = (parts.get(node.sequence_nr, REST), BACKWARD) if node else (part.name if part else REST, FORWARD)
        spent[place] += event.self_device_time_total if cuda else event.self_cpu_time_total
    return spent


def _ancestor(event: FunctionEvent | None, *, matches: Callable[[FunctionEvent], bool]) -> FunctionEvent | None:
    while event is not None and not matches(event):
        event = event.cpu_parent
    return event
