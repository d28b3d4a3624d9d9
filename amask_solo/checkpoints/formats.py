"""The content of an export in each format."""

import io
import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import safetensors.torch
import torch
from torch import nn

from amask_solo.errors import UserError
from amask_solo.hosts.architectures import State, has_cifar_stem

IMAGES, FEATURES = "images", "features"
"""The names of an ONNX graph's input and output."""

NEEDED = ("onnx", "onnxscript")

RENAMED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^(?!layer)", "stem."),
    (r"^layer(\d)", lambda found: f"res{int(found[1]) + 1}"),
    (r"\bbn(\d)", r"conv\1.norm"),
    (r"downsample\.0", "shortcut"),
    (r"downsample\.1", "shortcut.norm"),
)
"""torchvision's names of a ResNet's tensors -> those of detectron2, in this order."""


def content(target: str, state: State, metadata: Mapping[str, str], trace: Callable[[], bytes]) -> bytes | memoryview:
    """Return what a file of a format holds; ``trace``, which makes the graph, is only called for that of ONNX."""
    if target == "safetensors":
        return safetensors.torch.save(dict(state), dict(metadata))
    if target == "onnx":
        return trace()
    file = io.BytesIO()
    if target == "detectron2":
        pickle.dump(for_detectron2(state), file)
    else:
        torch.save(dict(state), file)
    return file.getbuffer()


def for_detectron2(state: State) -> dict[str, Any]:
    """Return a ResNet's tensors as detectron2 loads them, equal to what its converter of torchvision's files writes.

    Raises:
        UserError: If it has the small stem, which no ResNet of detectron2 has.

    Example:
        >>> list(for_detectron2({"layer1.0.bn2.bias": torch.ones(1), "conv1.weight": torch.ones(1, 3, 7, 7)})["model"])
        ['res2.0.conv2.norm.bias', 'stem.conv1.weight']
    """
    if has_cifar_stem(state):
        raise UserError("detectron2 has no ResNet with the small stem for CIFAR; train with stem=imagenet.")
    named = {}
    for name, value in state.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)  # noqa: PLW2901
        named[name] = value.numpy()
    return {"model": named, "__author__": "amask-solo", "matching_heuristics": True}


def onnx_graph(model: nn.Module, *, image_size: int, channels: int = 3) -> bytes:
    """Return the graph of a backbone from ``images`` of any number and one size to ``features``.

    Raises:
        UserError: If a library is missing, or the backbone cannot be traced.
    """
    missing = [name for name in NEEDED if not find_spec(name)]
    if missing:
        raise UserError(f'format=onnx needs {" and ".join(missing)}: pip install "amask-solo[onnx]".')
    example = torch.zeros(2, channels, image_size, image_size)
    options: dict[str, Any] = {"input_names": [IMAGES], "output_names": [FEATURES], "dynamo": True, "verbose": False}
    try:
        with warnings.catch_warnings():
            # They are about torch's own code.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},), **options)
    except Exception as error:  # the exporter may raise anything
        first = " ".join(str(error).split()[:40])
        raise UserError(f"torch cannot export this backbone to ONNX: {first}") from error
    return program.model_proto.SerializeToString() if program else b""
