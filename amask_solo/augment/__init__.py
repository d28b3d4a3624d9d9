"""Views of images, on the device: the host's augmentation schema, carried out with Kornia."""

from amask_solo.augment.schema import Recipe, read_recipes
from amask_solo.augment.views import Views, evaluation_view

__all__ = ["Recipe", "Views", "evaluation_view", "read_recipes"]
