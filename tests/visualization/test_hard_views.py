import torch

from amask_solo.visualization.panels import hard_view_panel


def picture(figure, row: int, column: int, columns: int) -> torch.Tensor:
    return torch.from_numpy(figure.axes[row * columns + column].images[0].get_array().data)


def captions(figure) -> list[str]:
    return [text.get_text() for axis in figure.axes for text in axis.texts]


def test_a_difference_is_amplified_and_gray_where_there_is_none():
    clean = torch.full((2, 3, 8, 8), 0.5)
    hard = clean.clone()
    hard[0, :, :4] += 0.04
    figure = hard_view_panel(clean, [hard])
    assert len(figure.axes) == 2 * 3
    assert captions(figure) == ["x 12", "x 12"]
    torch.testing.assert_close(picture(figure, 0, 2, 3)[:4], torch.full((4, 8, 3), 0.98))
    torch.testing.assert_close(picture(figure, 0, 2, 3)[4:], torch.full((4, 8, 3), 0.5))


def test_a_view_that_is_as_it_was_says_so():
    clean = torch.rand(9, 3, 8, 8)
    figure = hard_view_panel(clean, [clean, 1 - clean])
    assert len(figure.axes) == 8 * 5
    assert captions(figure)[:2] == ["none", "x 1"]
