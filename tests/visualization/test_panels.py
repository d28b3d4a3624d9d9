import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from amask_solo.visualization.panels import PALETTE, denormalize, mask_panel, overlay, save_panel


def batch(n: int = 2, masks: int = 3, size: tuple[int, int] = (32, 32)):
    draw = torch.Generator().manual_seed(0)
    return (
        torch.rand(n, 3, *size, generator=draw),
        torch.rand(n, masks, *size, generator=draw),
        torch.rand(n, 3, *size, generator=draw),
    )


@pytest.mark.parametrize(("masks", "columns"), [(1, 3), (2, 5), (4, 7), (9, 12)])
def test_a_row_shows_view_masks_union_and_occluded_view(masks, columns):
    figure = mask_panel(*batch(masks=masks))
    assert len(figure.axes) == 2 * columns


def test_a_title_is_no_markup(tmp_path):
    save_panel(mask_panel(*batch(n=1, masks=1), title="masks on photos_$5_$10"), tmp_path / "panel.png")


def test_at_most_eight_images_are_drawn():
    assert len(mask_panel(*batch(n=11, masks=1)).axes) == 8 * 3


def test_each_mask_is_labeled_with_its_area():
    images, masks, hidden = batch(n=1, masks=2)
    masks[:, 0], masks[:, 1] = 0.25, 0.875
    texts = [text.get_text() for axis in mask_panel(images, masks, hidden).axes for text in axis.texts]
    assert texts == ["25%", "88%"]


def test_the_overlay_has_color_exactly_where_a_mask_hides():
    images, masks, _ = batch(masks=1)
    masks[:] = 0
    masks[..., 8:16, 8:16] = 1
    saturation = overlay(images, masks).max(dim=1).values - overlay(images, masks).min(dim=1).values
    assert saturation[:, 8:16, 8:16].min() > 0.2
    saturation[:, 8:16, 8:16] = 0
    assert saturation.max() == 0


def test_the_union_takes_the_color_of_the_mask_that_hides():
    images, masks, _ = batch(masks=2)
    masks[:, 0], masks[:, 1] = 0, 1
    alone = overlay(images, masks[:, 1:], PALETTE[1:])
    torch.testing.assert_close(overlay(images, masks), alone)


def test_two_masks_on_one_pixel_mix_their_colors_evenly():
    images = torch.zeros(1, 3, 4, 4)
    first, second = (
        overlay(images, torch.ones(1, 1, 4, 4)),
        overlay(images, torch.ones(1, 1, 4, 4), PALETTE[1:]),
    )
    both = overlay(images, torch.ones(1, 2, 4, 4))
    torch.testing.assert_close(both, (first + second) / 2)


def test_pixels_of_small_images_stay_square_and_alike(tmp_path):
    images, masks, hidden = batch(n=1, masks=1)
    save_panel(mask_panel(images, masks, hidden), tmp_path / "panel.png")
    picture = torch.from_numpy(np.array(Image.open(tmp_path / "panel.png").convert("RGB")))
    bottom = len(picture) - 1
    while (picture[bottom, 40] == 255).all():
        bottom -= 1
    left = 0
    while (picture[bottom, left] == 255).all():
        left += 1
    last_row = (255 * images[0, :, -1]).T.round()  # (W, 3)
    drawn = picture[bottom - 3, left : left + 224].view(32, 7, 3).float()
    assert (drawn - last_row.unsqueeze(1)).abs().max() <= 1.5


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (48, 96)])
def test_the_file_is_written_at_any_size_and_leaves_nothing_else(tmp_path, size):
    path = tmp_path / "masks" / "epoch_0000.png"
    save_panel(mask_panel(*batch(masks=1, size=size), title="a title"), path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    width = Image.open(path).size[0]
    assert 600 < width < 1200


def test_no_global_figure_is_left_behind():
    mask_panel(*batch())
    assert plt.get_fignums() == []


def test_half_precision_masks_can_be_drawn():
    images, masks, hidden = batch()
    mask_panel(images, masks.bfloat16(), hidden.bfloat16())


def test_denormalizing_undoes_normalizing():
    images, _, _ = batch()
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    normalized = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(denormalize(normalized, mean, std), images)
