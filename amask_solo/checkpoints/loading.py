"""Write the code that loads an exported backbone without this package, and prepares images for it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from amask_solo.checkpoints.formats import FEATURES, IMAGES
from amask_solo.checkpoints.view_filter import spelled
from amask_solo.hosts.architectures import State, has_cifar_stem, stem_code, timm_name, timm_options
from amask_solo.hosts.blueprint import Blueprint
from amask_solo.hosts.names import TIMM_NAMES

OF_IMAGES = ("from PIL import Image, ImageOps", "from torchvision import transforms")
"""The imports that the code of a ``transform`` needs."""


def loading_code(
    state: State, plan: Blueprint, target: str, file: str, *, images: Mapping[str, Any], view_filter: Any
) -> str:
    """Return Python code that makes ``model`` and, if the checkpoint describes its images, their ``transform``.

    The images are those of the training: their size, statistics and range of values, empty if unknown. So is the filter
    of views, which is ``None`` if there was none.
    """
    file = json.dumps(file, ensure_ascii=False)  # a name may hold quotes
    filtered = view_filter is not None
    said = [f"# Normalized images must pass this first, as in training: {spelled(view_filter)}"] if filtered else []
    if target in OTHER_LIBRARIES:
        return "\n".join([*OTHER_LIBRARIES[target](plan, file, images), *said])
    known = plan.timm or plan.arch in TIMM_NAMES
    library = "torchvision" if target == "torchvision" else "timm"
    imports, read = {"torch", library if known else "torch"}, f"torch.load({file})"
    if target == "safetensors":
        imports, read = imports | {"safetensors.torch"}, f"safetensors.torch.load_file({file})"
    lines = [f"import {name}" for name in sorted(imports)]
    if images:
        lines += OF_IMAGES
    lines += ["", *(_model(state, plan, library, read) if known else [f"tensors = {read}"])]
    if images:
        lines += _transform(images)
    return "\n".join([*lines, *said])


def _model(state: State, plan: Blueprint, library: str, read: str) -> list[str]:
    stem = stem_code(state).split("; ") if plan.small_stem or has_cifar_stem(state) else []
    if library == "torchvision":
        load = [f"model.load_state_dict({read}, strict=False)  # all but fc", "model.fc = torch.nn.Identity()"]
        return [f"model = torchvision.models.{plan.arch}()", *stem, *load, "model.eval()"]
    options = "".join(f", {name}={value!r}" for name, value in timm_options(state, plan).items())
    create = f'model = timm.create_model("{timm_name(plan.arch)}", num_classes=0{options})'
    return [create, *stem, f"model.load_state_dict({read})", "model.eval()"]


def _transform(images: Mapping[str, Any]) -> list[str]:
    mean, span, bands = images["mean"], images.get("value_range"), images.get("bands")
    small, steps = _small(images["image_size"], images.get("stored_size"), of_tensors=bool(span or bands))
    count = len(mean)
    if span or bands:
        (low, high), chosen = span or (0, 255), f"[{[band - 1 for band in bands]}]" if bands else ""
        levels = f"((values.float(){chosen} - {low!r}) * {255 / (high - low)!r}).round().clamp(0, 255)"
        # Torch has no numbers of the other order of bytes.
        native = 'image.convert("I") if image.mode == "I;16B" else image'
        read = f"Lambda(lambda image: transforms.functional.pil_to_tensor(ImageOps.exif_transpose({native})))"
        steps = [read, f"Lambda(lambda values: {levels}.expand({count}, -1, -1))", *steps]
        steps.append("Lambda(lambda levels: levels.round().clamp(0, 255).div(255))")
        taken = "PIL images; of other files, transform.transforms[1:] takes tensors (bands, height, width)"
    else:
        steps = ["Lambda(ImageOps.exif_transpose)", *steps, "ToTensor()"]
        taken = "PIL images in RGB, as of image.convert('RGB')" if count == 3 else "gray PIL images"
    steps.append(f"Normalize({list(mean)}, {list(images['std'])})")
    return [
        f"# It takes {taken}.",
        f"smaller = {small}",
        "transform = transforms.Compose([",
        *(f"    transforms.{step}," for step in steps),
        "])",
    ]


def _small(size: int, stored: int | None, *, of_tensors: bool) -> tuple[str, list[str]]:
    """Return the code of ``smaller``, which makes a view of a file as its evaluation does, and the step that calls it.

    A file is read here as the square in its middle, shrunk to the size at which images are ``stored``, by bicubic
    interpolation. Unless a view has this size, it is cropped from a square of 8/7 of its own.
    """
    shape, around = "transforms.functional.get_image_size(image)", round(size * 8 / 7)
    first = stored or around
    steps = [f"Lambda(lambda image: ImageOps.fit(image, ({first}, {first}), Image.Resampling.BICUBIC))"]
    if of_tensors:
        square = f"Lambda(lambda image: transforms.functional.center_crop(image, min({shape})))"
        steps = [square, f"Resize({first}, transforms.InterpolationMode.BICUBIC)"]
    if first != size:
        steps += [*([f"Resize({around})"] if first != around else []), f"CenterCrop({size})"]
    code = f"transforms.Compose([{', '.join(f'transforms.{step}' for step in steps)}])"
    if stored is None:
        # Checkpoints of older versions do not say it, and images that have the size may have been stored as they were.
        return code, [f"Lambda(lambda image: image if {shape} == [{size}, {size}] else smaller(image))"]
    return code, ["Lambda(smaller)"]


def _onnx(plan: Blueprint, file: str, images: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    run = f'session.run(["{FEATURES}"], {{"{IMAGES}": images.numpy()}})[0]'
    session = f"session = onnxruntime.InferenceSession({file})"
    start = ["import onnxruntime", *(["import torch", *OF_IMAGES] if images else [])]
    return [*start, "", session, f"model = lambda images: {run}", *(_transform(images) if images else [])]


def _detectron2(plan: Blueprint, file: str, images: Mapping[str, Any]) -> list[str]:
    depth = int(plan.arch.removeprefix("resnet"))
    lines = ["from detectron2.config import get_cfg", "", "cfg = get_cfg()", f"cfg.MODEL.WEIGHTS = {file}"]
    lines += [f"cfg.MODEL.RESNETS.DEPTH = {depth}", "cfg.MODEL.RESNETS.STRIDE_IN_1X1 = False"]
    lines += ["cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64"] if depth < 50 else []
    lines.append('cfg.INPUT.FORMAT = "RGB"')
    for name, key in (("PIXEL_MEAN", "mean"), ("PIXEL_STD", "std")):
        lines += [f"cfg.MODEL.{name} = {[round(255 * x, 3) for x in images[key]]}"] if images else []
    return lines


OTHER_LIBRARIES: Mapping[str, Callable[[Blueprint, str, Mapping[str, Any]], list[str]]] = {
    "onnx": _onnx,
    "detectron2": _detectron2,
}
"""Formats that are loaded otherwise than by a model's ``load_state_dict``."""
