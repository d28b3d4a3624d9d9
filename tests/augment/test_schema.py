import pytest
from omegaconf import OmegaConf

from amask_solo.augment.schema import read_recipes
from amask_solo.errors import UserError


def test_an_operation_that_is_left_out_is_not_applied():
    (recipe,) = read_recipes([{"crop_size": 32, "num_crops": 2}])
    off = (recipe.jitter, recipe.grayscale, recipe.blur, recipe.solarize, recipe.equalize)
    assert off == (0.0,) * 5
    assert recipe.flip == 0.0
    assert recipe.crop_scale == (0.08, 1.0)


def test_settings_reach_the_recipe(make_node):
    jitter = {"prob": 0.8, "brightness": 0.4, "contrast": 0.3, "saturation": 0.2, "hue": 0.1}
    node = make_node(
        color_jitter=jitter,
        grayscale={"prob": 0.21},
        gaussian_blur={"prob": 0.22},
        solarization={"prob": 0.23},
        equalization={"prob": 0.24},
        horizontal_flip={"prob": 1},
        mean=[0.1, 0.2, 0.3],
    )
    (recipe,) = read_recipes(OmegaConf.create([node]))
    assert {name: getattr(recipe, name) for name in list(jitter)[1:]} == {
        name: value for name, value in jitter.items() if name != "prob"
    }
    assert (recipe.jitter, recipe.grayscale, recipe.blur) == (0.8, 0.21, 0.22)
    assert (recipe.solarize, recipe.equalize, recipe.flip) == (0.23, 0.24, 1.0)
    assert recipe.crop_scale is None
    assert recipe.mean == (0.1, 0.2, 0.3)
    assert recipe.std is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"solarisation": {"prob": 0.2}}, r"'solarisation' in augmentations\[1\].*'solarization'"),
        ({"grayscale": {"probability": 0.2}}, r"'probability' in augmentations\[1\].grayscale"),
        ({"gaussian_blur": {"prob": 1.5}}, r"augmentations\[1\].gaussian_blur.prob .* \[0, 1\]"),
        ({"grayscale": {"prob": "often"}}, r"grayscale.prob should be a number .* 'often'"),
        ({"color_jitter": {"prob": 0.5, "hue": 0.7}}, r"color_jitter.hue .* \[0, 0.5\]"),
        ({"color_jitter": {"prob": 0.5, "contrast": -1}}, r"color_jitter.contrast"),
        ({"rrc": {"crop_min_scale": 0.5, "crop_max_scale": 0.2}}, "crop_min_scale <= crop_max"),
        ({"rrc": {"crop_min_scale": 0.0}}, "0 < crop_min_scale"),
        ({"rrc": {"enabled": "no"}}, "true or false"),
        ({"horizontal_flip": 0.5}, r"augmentations\[1\].horizontal_flip should hold keys \(prob\)"),
        ({"crop_size": 0}, r"crop_size should be a positive integer, got 0"),
        ({"num_crops": None}, r"num_crops should be a positive integer, got None"),
        ({"std": [0.2]}, r"augmentations\[1\].std should hold three numbers"),
        ({"std": [0.2, 0.2, 0.0]}, r"augmentations\[1\].std should hold three numbers above 0"),
        ({"std": [0.2, 0.2, float("nan")]}, r"augmentations\[1\].std should hold three numbers above 0"),
        ({"mean": 0.5}, r"augmentations\[1\].mean should hold three numbers between 0 and 1"),
        ({"mean": ["a", 0.5, 0.5]}, r"augmentations\[1\].mean should hold three numbers"),
        ({"mean": [123, 116, 103]}, r"augmentations\[1\].mean .* as shares of white"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(make_node, change, message):
    with pytest.raises(UserError, match=message):
        read_recipes([make_node(), make_node(**change)])


def test_an_empty_list_is_refused():
    with pytest.raises(UserError, match="empty"):
        read_recipes([])
