"""A device that is not there: what a first run on a GPU would show, seen on a CPU.

Tensors of the device ``pretended`` have a shape, a type and a device, and no content (``FakeTensorMode``). Mixing
devices raises, backward passes and whole fits run, and what needs a number of the device (``item``, ``nonzero``,
boolean indexes, copies) is answered with a made-up one and noted: a GPU would be waited for there. Real kernels, NCCL,
and branches of ``device.type == "cuda"`` stay out of reach. It changes torch, so it belongs in a process of its own.
"""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import fake_tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

TYPE = "pretended"
IN_LOW_PRECISION = {"conv2d", "linear", "matmul", "__matmul__", "bmm", "baddbmm", "addmm", "einsum", "mm"}
WAITING = {"aten::_linalg_check_errors", "aten::unique_dim", "aten::_unique2", "aten::bincount"}
WAITING |= {"aten::repeat_interleave.Tensor", "aten::equal", "aten::nonzero", "aten::_local_scalar_dense"}
ROOT = Path(__file__).parents[2]

_kept: list[torch.library.Library] = []
"""What a library registers lives as long as it does."""


class Backend(backend_registration._DummyBackendModule):
    """What torch asks a back end for."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def get_rng_state(self, device: Any = None) -> Tensor:
        with unset_fake_temporarily():
            return torch.zeros(16, dtype=torch.uint8)

    def set_rng_state(self, state: Tensor, device: Any = None) -> None: ...

    def set_device(self, device: Any) -> None: ...

    def synchronize(self, device: Any = None) -> None: ...

    def empty_cache(self) -> None: ...


class Generator(torch.Generator):
    """Stands in for a generator of the device; for the CPU, a real one is made."""

    real = torch.Generator

    def __new__(cls, device: Any = "cpu") -> Any:
        return cls.real("cpu") if torch.device(device).type == "cpu" else super().__new__(cls)

    def __init__(self, device: Any = "cpu") -> None:
        self.place = torch.device(device)

    @property
    def device(self) -> torch.device:
        return self.place

    def clone_state(self) -> "Generator":
        return Generator(self.place)


def install() -> None:
    """Add the device to torch, for good."""
    backend_registration._setup_privateuseone_for_python_backend(TYPE, backend_module=Backend())
    _kept.append(torch.library.Library("_", "IMPL", "AutocastPrivateUse1"))
    _kept[0].fallback(torch.library.fallthrough_kernel)
    fake_tensor.init_gpu_context = lambda device: None
    FakeTensor.numpy = lambda self: np.zeros(tuple(self.shape), dtype=np.int64)
    FakeTensor.__deepcopy__ = lambda self, memo: self.detach().clone().requires_grad_(self.requires_grad)
    FakeTensor.data_ptr = lambda self: self.untyped_storage()._cdata + self.storage_offset()
    torch.Generator = Generator
    torch.random.fork_rng = lambda *_, **__: contextlib.nullcontext()


class Calls(TorchFunctionMode):
    """Check where generators draw, and cast under autocast, for which this device has no kernels."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("generator") is not None:
            place = kwargs.get("device") or next((a.device for a in args if isinstance(a, Tensor)), "cpu")
            if torch.device(place).type != kwargs["generator"].device.type:
                raise RuntimeError(f"{func.__name__} on {place} by a generator of {kwargs['generator'].device}")
            if isinstance(kwargs["generator"], Generator):
                kwargs["generator"] = None
        if func in (torch.tensor, torch.as_tensor) and not isinstance(args[0], Tensor) and kwargs.get("device"):
            place = kwargs.pop("device")
            return func(*args, **kwargs).to(place)
        if torch.is_autocast_enabled(TYPE) and getattr(func, "__name__", "") in IN_LOW_PRECISION:
            low = torch.get_autocast_dtype(TYPE)
            args, kwargs = tree_map(
                lambda t: t.to(low) if on_device(t) and t.dtype == torch.float32 else t, (args, kwargs)
            )
        return func(*args, **kwargs)


class Waits(TorchDispatchMode):
    """Answer what a tensor without content cannot, and note who asked.

    Attributes:
        seen: Lines such as ``"item: amask_solo/game/game.py occluded"``, while ``on``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.on = False

    def note(self, what: str) -> None:
        if self.on:
            self.seen.add(f"{what}: {asker()}")

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs, name = kwargs or {}, func.name()
        first = args[0] if args else None
        if name in WAITING and on_device(first):
            self.note(name.removeprefix("aten::"))
        if name == "aten::_local_scalar_dense" and isinstance(first, FakeTensor):
            if first.constant is not None:
                return first.constant.item()
            return 0.0 if first.dtype.is_floating_point else first.dtype == torch.bool or 1
        if name == "aten::equal" and on_device(first):
            return True
        if name == "aten::nonzero" and isinstance(first, FakeTensor):
            return torch.zeros((first.numel(), first.ndim), dtype=torch.long, device=first.device)
        if name.startswith(("aten::index.Tensor", "aten::index_put", "aten::_index_put")):
            args = (first, self.places(first, args[1]), *args[2:])
        if name in ("aten::_to_copy", "aten::copy_"):
            return self.copy(func, args, kwargs)
        return func(*args, **kwargs)

    def places(self, indexed: Tensor, indexes: list) -> list:
        """Return whole numbers for boolean indexes; refuse what real tensors do, and fake ones do not."""
        if not on_device(indexed) and any(on_device(index) for index in indexes):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        places = []
        for index in indexes:
            if isinstance(index, Tensor) and index.dtype == torch.bool:
                if on_device(index):
                    self.note("boolean index")
                places += [torch.zeros(index.numel(), dtype=torch.long, device=index.device)] * index.ndim
            else:
                places.append(index)
        return places

    def copy(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """Note copies between device and host that wait."""
        here = on_device(args[0] if func.name() == "aten::_to_copy" else args[1])
        there = torch.device(kwargs.get("device") or args[0].device).type == TYPE
        waits = not kwargs.get("non_blocking", False) and not (len(args) > 2 and args[2])
        if here != there and (waits or here):
            self.note("copy to the host" if here else "copy from the host")
        if func.name() == "aten::_to_copy" and there and not here:  # fake tensors copy between known devices only
            like = torch.empty_like(args[0], memory_format=kwargs.get("memory_format") or torch.preserve_format)
            dtype = kwargs.get("dtype") or like.dtype
            return torch.empty_strided(like.shape, like.stride(), dtype=dtype, device=kwargs["device"])
        return func(*args, **kwargs)


def on_device(thing: Any) -> bool:
    """Return whether something is a tensor of the pretended device."""
    return isinstance(thing, Tensor) and thing.device.type == TYPE


def asker() -> str:
    """Return the innermost function outside of torch that is at work, and that of this package which called it."""
    frames = [f for f in traceback.extract_stack() if "/torch/" not in f.filename and "tests/device" not in f.filename]
    own = [f for f in frames if f.filename.startswith(f"{ROOT}/amask_solo")]
    named = [f"{'/'.join(Path(frame.filename).parts[-2:])} {frame.name}" for frame in (*own[-1:], frames[-1])]
    return " > ".join(dict.fromkeys(named))


@contextlib.contextmanager
def pretended() -> Iterator[Waits]:
    """Make tensors without content while the context lasts."""
    with FakeTensorMode(allow_non_fake_inputs=True), Waits() as waits, Calls():
        yield waits


def elsewhere(tree: Any) -> list[str]:
    """Return the devices of those tensors in a structure that are not on the pretended one."""
    return sorted({str(t.device) for t in tree_leaves(tree) if isinstance(t, Tensor) and not on_device(t)})
