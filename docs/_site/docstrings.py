"""Docstrings are written for Sphinx; the pages want Markdown."""

import re
from typing import Any

from griffe import Extension, Object

from docs._site.formulas import fence, inline

_FORMULA = re.compile(r"^( *)\.\. math::(?: (.+(?:\n(?!\s*$).+)*)|\n\n((?:\1 +.+\n?|\n(?=\1 ))+))", re.MULTILINE)
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`(~?)([\w.]+)`")
_LINK = re.compile(r"`([^`<]+?)\s+<(https?://[^>]+)>`_", re.DOTALL)


class Markup(Extension):
    """Turn roles, links and formulas of each docstring into Markdown as it is collected."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


def to_markdown(text: str) -> str:
    """Return a docstring with Markdown in place of reStructuredText.

    Example:
        >>> to_markdown("See :func:`~amask_solo.occlusion.occlude`.")
        'See <autoref identifier="amask_solo.occlusion.occlude" optional><code>occlude</code></autoref>.'
        >>> to_markdown("`ADIOS <https://arxiv.org/abs/2201.13100>`_")
        '[ADIOS](https://arxiv.org/abs/2201.13100)'
    """
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)  # otherwise it would be a quotation
    text = re.sub(r"(?<=\S)\n *(?=:math:)", " ", text)  # a formula at the beginning of a line would be a block
    text = _FORMULA.sub(lambda found: f"\n{found[1]}{fence(_one_line(found[2] or found[3]))}\n", text)
    text = re.sub(r":math:`([^`]+)`", lambda found: inline(_one_line(found[1])), text)
    text = _ROLE.sub(_reference, text)
    return _LINK.sub(lambda found: f"[{_one_line(found[1])}]({found[2]})", text)


def _reference(found: re.Match[str]) -> str:
    short, path = found[1], found[2]
    name = path.rsplit(".", 1)[-1] if short else path
    # Optional: what is not on a page of the reference stays a name.
    return f'<autoref identifier="{path}" optional><code>{name}</code></autoref>'


def _one_line(text: str) -> str:
    return " ".join(text.split())
