"""Random streams that hold no state, so that they resume exactly and differ between ranks; and the global state."""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor


def stream(name: str, *, seed: int, rank: int, step: int, device: torch.device | str) -> torch.Generator:
    """Return a generator for one use in one step; its numbers depend on these arguments alone.

    The name says what they are for ("views", "masks"), and ``step`` is the number of batches seen so far.

    Example:
        >>> a, b = (stream("masks", seed=0, rank=r, step=7, device="cpu") for r in (0, 1))
        >>> bool((torch.rand(4, generator=a) == torch.rand(4, generator=b)).any())
        False
    """
    digest = hashlib.blake2b(f"{name}/{seed}/{rank}/{step}".encode(), digest_size=8).digest()
    generator = torch.Generator(device=device)
    return generator.manual_seed(int.from_bytes(digest, "big") >> 1)


def untouched(device: torch.device) -> AbstractContextManager[None]:
    """Restore the global random state of the CPU and of a device when the context ends."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global random state of all devices, and restore it when the context ends."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def random_state() -> dict[str, Tensor]:
    """Return the global random state of the CPU, and of the process's GPU if it uses one."""
    return {"cpu": torch.get_rng_state()} | (
        {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {}
    )


def set_random_state(state: dict[str, Tensor]) -> None:
    """Restore what :func:`random_state` has returned; the state of a GPU only where one is used."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"].cpu())
