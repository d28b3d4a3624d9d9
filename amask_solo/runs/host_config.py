"""Convert the configuration of a run to that of a host's method."""

import warnings
from pkgutil import resolve_name
from typing import Any

from lightning.pytorch import LightningModule
from omegaconf import DictConfig, OmegaConf

from amask_solo.augment.views import Views
from amask_solo.data import ImageData
from amask_solo.errors import UserError
from amask_solo.hosts.blueprint import blueprint
from amask_solo.hosts.installed import load_host
from amask_solo.hosts.methods import BOTH, by_class, by_name
from amask_solo.hosts.names import is_timm
from amask_solo.hosts.timm_backbones import has_fixed_size, try_views
from amask_solo.layout import PREFIX
from amask_solo.masked.method import wrap
from amask_solo.settings.method import check_method, optimizer_kwargs

HOST_KEYS = (
    "accumulate_grad_batches adversary backbone base_class knn_eval max_epochs method method_kwargs momentum optimizer"
    " performance scheduler view_filter"
)
IMAGES = ("image_size", "mean", "std", "value_range", "numbers", "bands", "fingerprint")
"""What a checkpoint says of the images that its backbone was trained on, beside ``stored_size``."""

TRANSFORMERS = ("vit_", "swin_")
"""The prefixes of the host's backbones that are built for one size of views."""

SMALL = 32
"""``stem=auto`` takes the small stem up to this many pixels, since the large one leaves a single feature pixel."""


def method_class(name: str, base_class: str | None = None) -> type[LightningModule]:
    """Return the class of a method: ``byol`` is the stock method, ``amask_byol`` the masked one.

    ``base_class`` is the dotted path of a user's subclass of the host's ``BaseMethod``.

    Raises:
        UserError: If the method or class does not exist.
    """
    host = load_host()
    base = host.adapt(_imported(base_class)) if base_class else host.stock(name.removeprefix(PREFIX))
    return wrap(base) if name.startswith(PREFIX) else host.adapt(base)


def host_config(cfg: DictConfig, images: ImageData, views: Views, *, devices: int) -> DictConfig:
    """Return the configuration in the current host's schema.

    Learning rates are given for 256 images per step and scaled to the run's number, as in the host's scripts. Only the
    ``optimizer.kwargs`` that the chosen optimizer takes are kept. A backbone for images of one size, such as a vision
    transformer, is built for the size of the views, unless ``backbone.kwargs.img_size`` is given.

    ``devices`` is the number of all processes of the run.

    Raises:
        UserError: If the crops are not in the host's order, if the method does not fit the batch, the data or the
            views, or if timm cannot build the backbone for these views.
    """
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    made = OmegaConf.create({key: plain[key] for key in HOST_KEYS.split() if key in plain})
    for node in ("backbone.kwargs", "optimizer.kwargs", "method_kwargs"):
        OmegaConf.update(made, node, OmegaConf.select(made, node) or {}, merge=False)
    made.optimizer.kwargs = optimizer_kwargs(made.optimizer)
    sizes = {recipe.crop_size for recipe in views.recipes}
    if max(sizes) != images.image_size:
        warnings.warn(
            f"The views of training have {max(sizes)} px (augmentations.*.crop_size), but those of the evaluation "
            f"{images.image_size} px (data.image_size). Give both the same, unless that is what you want.",
            stacklevel=2,
        )
    name = made.backbone.name
    for_one_size = has_fixed_size(name) if is_timm(name) else name.startswith(TRANSFORMERS)
    if for_one_size and "img_size" not in made.backbone.kwargs:
        made.backbone.kwargs.img_size = max(sizes)
    _set_channels(made, len(images.mean))
    scale = made.optimizer.batch_size * devices / 256
    made.optimizer.lr *= scale
    made.optimizer.classifier_lr *= scale
    for bound in ("min_lr", "warmup_start_lr"):  # of the rate as it is, but the host multiplies them, too
        made.scheduler[bound] /= made.accumulate_grad_batches
    if made.scheduler.warmup_epochs is None:
        made.scheduler.warmup_epochs = min(10, made.max_epochs / 10)
    large, small = _crops(views)
    small_stem = cfg.stem == "cifar" or (cfg.stem == "auto" and max(sizes) <= SMALL)
    made.data = {
        "dataset": "cifar10" if small_stem else "imagenet100",  # by which the host chooses the 3x3 stem
        "num_classes": images.num_classes,
        "num_large_crops": large,
        "num_small_crops": small,
        "mean": list(images.mean),
        "std": list(images.std),
    }
    # A checkpoint keeps these, since what its backbone takes is not to be measured again on other images.
    made.images = {key: value for key in IMAGES if (value := getattr(images, key, None)) is not None}
    made.images.stored_size = images.train.size
    if is_timm(name):
        try_views(blueprint(made), sorted(sizes))
    row = by_name(cfg.method)
    if cfg.base_class:  # the number of views that a user's class takes is unknown
        row = by_class(_imported(cfg.base_class))._replace(many_views=BOTH, small_views=BOTH)
    check_method(made, row, images=len(images.train), devices=devices)
    return made


def _set_channels(made: DictConfig, channels: int) -> None:
    if channels == 3:
        return
    if not is_timm(made.backbone.name):
        raise UserError(
            f"The images have {channels} channel(s) (data.channels=keep), but backbone.name={made.backbone.name} takes "
            "three; choose one of timm's, as backbone.name=timm/resnet18."
        )
    if OmegaConf.select(made, "adversary.drop_tokens"):
        raise UserError("adversary.drop_tokens takes images of three channels; leave it out, or data.channels=keep.")
    made.backbone.kwargs.in_chans = channels


def _crops(views: Views) -> tuple[int, int]:
    sizes = [size for recipe in views.recipes for size in [recipe.crop_size] * recipe.num_crops]
    large = sizes.count(max(sizes))
    if sizes != sorted(sizes, reverse=True):
        raise UserError(f"Expected augmentations with the large crops first, but got {sizes} px.")
    return large, len(sizes) - large


def _imported(path: str) -> Any:
    try:
        return resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"base_class={path} cannot be imported: {error}. Give the dotted path of a class that lies in the working "
            "directory or on PYTHONPATH."
        ) from error
