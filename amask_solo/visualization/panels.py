"""Pictures of masks and hard views: what each mask hides, what is left to see, and how it differs from the view."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from amask_solo._types import Images, Masks
from amask_solo.files import write_whole

PALETTE = ("#E69F00", "#0072B2", "#CC79A7", "#009E73", "#D55E00", "#56B4E9", "#F0E442")
"""Colors of the masks, in turn; color-blind readers can tell them apart (Okabe and Ito, `Color Universal Design
<https://jfly.uni-koeln.de/color/>`_, 2008; the order is ours)."""

MAX_ROWS = 8
CELL = 1.05  # inches, the width of one picture
GAP = 0.045  # inches
TITLE = 0.17  # inches
MIN_PIXELS = 200  # across a picture; smaller images are enlarged by a whole factor
STRENGTH = 0.7  # of the color where a mask is 1
DIM = 0.75  # brightness of the gray image below the colors
GRAY = 0.5  # where nothing has changed
ROUNDING = 1e-4  # the largest difference that counts as none, on the scale of [0, 1]


def denormalize(images: Images, mean: Sequence[float], std: Sequence[float]) -> Images:
    """Undo the normalization of images by the mean and standard deviation of each channel, and clip them to [0, 1].

    Example:
        >>> denormalize(torch.zeros(1, 3, 1, 1), (0.1, 0.2, 0.3), (1.0, 1.0, 1.0)).flatten()
        tensor([0.1000, 0.2000, 0.3000])
    """
    shift, scale = (torch.as_tensor(x).to(images).view(-1, 1, 1) for x in (mean, std))
    return (images * scale + shift).clamp(0, 1)


def three_bands(images: Images) -> Float[Tensor, "b 3 h w"]:
    """Return what can be shown of images of any number of channels: the first three, or the first one as gray."""
    return images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)


def overlay(images: Images, masks: Masks, colors: Sequence[str] = PALETTE) -> Float[Tensor, "b 3 h w"]:
    r"""Lay masks over dimmed gray images, each in its color.

    Where several masks hide a pixel, their colors mix by weight, :math:`\sum_n m_n c_n / \sum_n m_n`. The opacity of
    the color is how much they hide together, :math:`1 - \prod_n (1 - m_n)`.

    Args:
        images: RGB images in [0, 1].
        masks: Masks in [0, 1]; 1 hides.
        colors: One color a mask; they repeat if there are more masks.
    """
    palette = torch.tensor([to_rgb(colors[n % len(colors)]) for n in range(masks.shape[1])])
    gray = DIM * three_bands(images.float()).mean(dim=1, keepdim=True)
    masks = masks.float()
    color = torch.einsum("bnhw,nc->bchw", masks, palette.to(masks))
    color = color / masks.sum(dim=1, keepdim=True).clamp_min(1e-6)
    opacity = STRENGTH * (1 - (1 - masks).prod(dim=1, keepdim=True))
    return torch.lerp(gray.expand_as(color), color, opacity)


def mask_panel(images: Images, masks: Masks, hidden_views: Images, *, title: str | None = None) -> Figure:
    """Draw one row an image: the view, each mask with its area, their union, the occluded view.

    Args:
        images: The views, RGB in [0, 1]; the first eight are drawn.
        masks: The N masks of each view in [0, 1]; 1 hides.
        hidden_views: What the encoder sees instead of the view, RGB in [0, 1].
        title: A line above the grid.

    Returns:
        A figure of ``rows * (N + 3)`` axes; one column less if N = 1, where the union is the mask.
    """
    images, masks, hidden_views = (x[:MAX_ROWS].detach().float().cpu() for x in (images, masks, hidden_views))
    columns = [("view", images)]
    for n in range(masks.shape[1]):
        name = "mask" if masks.shape[1] == 1 else f"mask {n + 1}"
        columns.append((name, overlay(images, masks[:, n : n + 1], PALETTE[n % len(PALETTE) :])))
    if masks.shape[1] > 1:
        columns.append(("union", overlay(images, masks)))
    columns.append(("occluded view", hidden_views))
    figure, axes = draw_columns(columns, title=title)
    for row, areas in enumerate(masks.mean(dim=(2, 3)).tolist()):
        for n, area in enumerate(areas, start=1):
            caption(axes[row][n], f"{area:.0%}")
    return figure


def hard_view_panel(images: Images, hard_views: Sequence[Images], *, title: str | None = None) -> Figure:
    """Draw one row an image: the view, then each hard view and its difference, amplified as far as possible.

    A difference shows a perturbation that is too small to see, and which part of a view comes from another image. It is
    gray where the two are alike, and its caption says by how much it is amplified.

    Args:
        images: The clean views, RGB in [0, 1]; the first eight are drawn.
        hard_views: Of each entry of the game's sum, in the order of the images, RGB in [0, 1].
        title: A line above the grid.

    Returns:
        A figure of ``rows * (1 + 2 * entries)`` axes.
    """
    clean, *hard = (x[:MAX_ROWS].detach().float().cpu() for x in (images, *hard_views))
    columns, gains = [("view", clean)], {}
    for number, view in enumerate(hard, start=1):
        difference = view - clean
        largest = float(difference.abs().max())
        gain = max(1, int(GRAY / largest)) if largest > ROUNDING else 0
        name = "hard view" if len(hard) == 1 else f"hard view {number}"
        columns += [(name, view), ("difference", GRAY + gain * difference)]
        gains[len(columns) - 1] = gain
    figure, axes = draw_columns(columns, title=title)
    for column, gain in gains.items():
        for row in axes:
            caption(row[column], f"x {gain}" if gain else "none")
    return figure


def save_panel(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG or PDF; folders are made, and a half-written file never takes the name."""
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(picture, format=Path(path).suffix[1:])
    write_whole(path, picture.getbuffer())


def save_plot(figure: Figure, path: Path) -> str:
    """Write a figure as PNG, and for a paper as PDF beside it; return the name of the former."""
    for ending in (".png", ".pdf"):
        save_panel(figure, path.with_suffix(ending))
    return path.name


def drawn_panels(run: Path, kind: str = "epoch") -> list[Path]:
    """Return the pictures of masks, or of ``hard_views``, that a run has drawn, in the order of epochs."""
    return sorted((run / "masks").glob(f"{kind}_*.png"))


def draw_columns(
    columns: Sequence[tuple[str, Float[Tensor, "_ _ _ _"]]], *, title: str | None
) -> tuple[Figure, list[list[Axes]]]:
    """Draw columns with names, each of pictures in [0, 1] from top to bottom, and return the places, row by row."""
    _, first = columns[0]
    figure, axes = _grid(len(first), len(columns), size=first.shape[2:], title=title)
    for column, (name, pictures) in enumerate(columns):
        axes[0][column].set_title(name, fontsize=7, pad=2.5)
        for row, picture in enumerate(pictures):
            pixels = three_bands(picture[None])[0].clamp(0, 1).permute(1, 2, 0).numpy()
            axes[row][column].imshow(pixels, interpolation="nearest", aspect="auto")
    return figure, axes


def _grid(rows: int, columns: int, *, size: Sequence[int], title: str | None) -> tuple[Figure, list[list[Axes]]]:
    cell = CELL * size[0] / size[1]
    width = columns * CELL + (columns + 1) * GAP
    height = rows * cell + (rows + 1) * GAP + TITLE * (2 if title else 1)
    # A whole number of dots for each pixel keeps the pixels of small images square and alike.
    dots = size[1] * max(1, -(-MIN_PIXELS // size[1]))
    figure = Figure(figsize=(width, height), dpi=dots / CELL, facecolor="white")
    axes = []
    for row in range(rows):
        bottom = (GAP + (rows - 1 - row) * (cell + GAP)) / height
        lefts = [(GAP + column * (CELL + GAP)) / width for column in range(columns)]
        axes.append([figure.add_axes((left, bottom, CELL / width, cell / height)) for left in lefts])
    for axis in figure.axes:
        axis.set_axis_off()
    if title:
        figure.text(0.5, 1 - TITLE / 2 / height, title, ha="center", va="center", fontsize=8, parse_math=False)
    return figure, axes


def caption(axis: Axes, text: str) -> None:
    """Write into the corner of a picture."""
    box = {"boxstyle": "square,pad=0.15", "facecolor": "black", "alpha": 0.55, "linewidth": 0}
    axis.text(0.96, 0.05, text, transform=axis.transAxes, ha="right", va="bottom", fontsize=6, color="white", bbox=box)
