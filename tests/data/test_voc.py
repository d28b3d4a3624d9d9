import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from amask_solo.configuration import config_folder, instantiate
from amask_solo.data.voc import CLASSES
from amask_solo.errors import UserError
from amask_solo.settings.evaluation import check_demands
from amask_solo.settings.pretraining import check_downloaded
from tests.data.published import voc


def settings(root, **changes):
    return OmegaConf.create({**OmegaConf.load(config_folder() / "data" / "voc.yaml"), "root": str(root), **changes})


def test_pixels_have_classes_objects_and_void_cropped_as_the_images_are(tmp_path):
    voc(tmp_path)
    data = instantiate(settings(tmp_path, image_size=20), "data")
    assert (len(data.train), len(data.val), data.labeled) == (8, 4, False)
    assert data.segment_names[15] == "person"
    assert len(CLASSES) == 21
    file = tmp_path / "VOCdevkit/VOC2012/SegmentationClass/2007_000008.png"
    numbers = np.asarray(Image.open(file))[:, 2:22]
    assert np.array_equal(data.val.segments[0, 0].numpy(), numbers)
    assert np.array_equal(data.val.objects()[0, 0].numpy(), numbers == 15)
    assert np.array_equal(data.val.void[0, 0].numpy(), numbers == 255)
    assert data.val.names[0] == "VOCdevkit/VOC2012/JPEGImages/2007_000008.jpg"
    assert data.object_share == pytest.approx((numbers == 15).mean() / (numbers != 255).mean())


def test_resized_classes_are_those_of_the_nearest_pixel_and_follow_a_choice(tmp_path):
    voc(tmp_path)
    data = instantiate(settings(tmp_path, image_size=32, max_images=4, tune_fraction=0.5), "data")
    assert set(data.train.segments.unique().tolist()) == {0, 15, 255}
    assert len(data.train) == len(data.train.segments) == len(data.val) == 2


def test_a_missing_set_says_what_is_expected_where(tmp_path):
    for check in (check_downloaded, lambda node: instantiate(node, "data")):
        with pytest.raises(UserError, match=r"voc in data.root=.*VOC2012/SegmentationClass, but .* is missing"):
            check(settings(tmp_path))
    with pytest.raises(UserError, match=r"Cannot read VOC 2011 in data\.root"):
        instantiate(settings(tmp_path, year=2011, holds=[]), "data")


def test_it_has_objects_and_no_labels():
    node = settings("anywhere")
    check_demands({"segmentation": {"_target_": "amask_solo.evaluation.Segmentation"}}, node)
    with pytest.raises(UserError, match="protocol=knn needs labels, which these images do not have"):
        check_demands({"knn": {"_target_": "amask_solo.evaluation.KNN"}}, node)
