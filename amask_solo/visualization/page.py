"""A report as one HTML file that needs nothing else: no network, no folder beside it."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image

from amask_solo.files import write_whole

PICTURES = 24
"""The most pictures on a page, over all sliders."""

ROOM = 3_400_000
"""Bytes that the pictures may take. As text they take a third more, so the page stays below 5 MB."""

WIDTHS = (1000, 700, 500, 350, 250)  # pixels; the first that fits is taken
QUALITY = 80  # of JPEG


def write_page(path: Path, text: str, *, sliders: Mapping[str, Sequence[Path]]) -> None:
    """Write a page.

    Args:
        path: The ``.html`` file.
        text: What it says, in Markdown; its pictures lie beside the file and go into it.
        sliders: Title -> pictures of a slider, in order. If there are many, some are left out evenly, but not the first
            and the last. Sliders are at the end of the page, or in place of a line ``[sliders]``.
    """
    shown = {title: pictures for title, pictures in sliders.items() if pictures}
    most = max(2, PICTURES // max(1, len(shown)))
    chosen = {title: spread(pictures, most) for title, pictures in shown.items()}
    room = ROOM // max(1, sum(map(len, chosen.values())))
    made = {
        title: [{"label": _label(file), "source": _jpeg(file, room)} for file in files]
        for title, files in chosen.items()
    }
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    body = re.sub(
        r'src="([^":]+)"', lambda found: f'src="{_inline((path.parent / found[1]).read_bytes(), "png")}"', body
    )
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    # The template escapes what it is given; the text is the report's own.
    template = Environment(autoescape=True).from_string(files(__package__).joinpath("page.html").read_text())
    content = template.render(title=title[1] if title else path.stem, body=Markup(body), sliders=made)  # noqa: S704
    write_whole(path, content)


def spread(pictures: Sequence[Path], most: int) -> list[Path]:
    """Return at most ``most`` of the pictures, evenly, with the first and the last.

    Example:
        >>> [path.name for path in spread([Path(str(n)) for n in range(10)], 4)]
        ['0', '3', '6', '9']
    """
    if len(pictures) <= most:
        return list(pictures)
    return [pictures[round(place * (len(pictures) - 1) / (most - 1))] for place in range(most)]


def _label(file: Path) -> str:
    # epoch_0003.png
    number = re.search(r"(\d+)$", file.stem)
    return f"epoch {int(number[1])}" if number else file.stem


def _jpeg(file: Path, room: int) -> str:
    """Return a picture for the source of an ``img``, in at most ``room`` bytes if possible."""
    with Image.open(file) as image:
        picture = image.convert("RGB")
    for width in WIDTHS:
        picture.thumbnail((width, 4 * width))
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=QUALITY, optimize=True)
        if content.tell() <= room:
            break
    return _inline(content.getvalue(), "jpeg")


def _inline(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
