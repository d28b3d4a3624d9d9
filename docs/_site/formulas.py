"""Formulas as MathML, which browsers show by themselves."""

from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import convert

_MATHML = "{http://www.w3.org/1998/Math/MathML}"
ElementTree.register_namespace("", _MATHML.strip("{}"))


def fence(source: str, *_: Any, **__: Any) -> str:
    """Turn a fenced block of LaTeX into a formula on a line of its own; the format of a custom fence of SuperFences."""
    return f'<div class="math">{display(source)}</div>'


def display(latex: str) -> str:
    """Return a formula on a line of its own."""
    formula = ElementTree.fromstring(convert(latex.strip(), display="block"))  # noqa: S314 - made by the line itself
    for node in formula.iter(f"{_MATHML}msub"):
        if node[0].text in ("min", "max"):
            node.tag = f"{_MATHML}munder"
    return ElementTree.tostring(formula, encoding="unicode")


def inline(latex: str) -> str:
    """Return a formula within a line."""
    return convert(latex.strip())
