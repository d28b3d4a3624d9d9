"""The batches of a run."""

import pytest

from amask_solo.augment.views import Views
from amask_solo.data import make_shapes
from amask_solo.errors import UserError
from amask_solo.runs.datamodule import ViewsData


@pytest.mark.parametrize("name", ["mean", "std"])
def test_training_prepares_images_by_the_same_numbers_as_evaluation_and_export(name):
    images = make_shapes(num_train=8, num_val=8, image_size=16)
    of_data = {"mean": images.mean, "std": images.std}

    def served(own):
        return ViewsData(images, Views([{"crop_size": 16, "num_crops": 2, name: list(own)}], **of_data), batch_size=4)

    assert served(of_data[name]).views.recipes[0].crop_size == 16
    with pytest.raises(UserError, match=rf"have a {name} of their own.*data.{name}=\[0.5,0.5,0.25\]"):
        served((0.5, 0.5, 0.25))
