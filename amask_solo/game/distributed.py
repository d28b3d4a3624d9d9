"""Average the masker's gradients over processes, as DDP does for the encoder.

The masker does not move in every step, and DDP fails on parameters without a gradient unless it searches for them in
every step, which takes time. DDP is therefore told to ignore the masker.
"""

from collections.abc import Sequence

import torch
from torch import distributed, nn


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


@torch.no_grad()
def same_on_all_ranks(module: nn.Module) -> None:
    """Copy the parameters and buffers of the first process to all other processes."""
    for tensor in module.state_dict().values() if _together() else ():
        distributed.broadcast(tensor, src=0)


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average gradients over all processes in a single reduction."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not _together() or not gradients:
        return
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))
