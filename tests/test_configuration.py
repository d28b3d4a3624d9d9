"""From nodes to objects, and from mistakes in them to errors."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from omegaconf import OmegaConf

from amask_solo.configuration import check_keys, instantiate
from amask_solo.errors import UserError


class Widget:
    """Something to build."""

    def __init__(self, size: int, *, share: float | None = 0.5, name: str = "w", parts: list | None = None) -> None:
        if size < 0:
            raise ValueError(f"Expected size to be positive, but got {size}.")
        if name == "bug":
            raise ZeroDivisionError
        self.size, self.share, self.parts = size, share, parts


def node(**arguments):
    return OmegaConf.create({"_target_": f"{__name__}.Widget", **arguments})


def test_a_node_is_built_with_the_nodes_in_it():
    built = instantiate(node(size=1, parts=[node(size=2, share=1)]), "widget")
    assert (built.size, built.parts[0].size, built.parts[0].share) == (1, 2, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sise": 1}, "Unknown key 'sise' in widget; did you mean 'size'"),
        ({"size": "???"}, r"widget\.size=\.\.\. must be given"),
        ({"size": "big"}, r"widget\.size to be a whole number, but got 'big'"),
        ({"size": 1.5}, r"widget\.size to be a whole number,"),
        ({"size": True}, r"widget\.size to be a whole number,"),
        ({"size": None}, r"widget\.size to be a whole number,"),
        ({"size": 1, "share": "half"}, r"widget\.share to be a number or null,"),
        ({"size": 1, "name": 3}, r"widget\.name to be text,"),
        ({"size": -1}, "widget: Expected size to be positive"),
        (
            {"size": 1, "parts": [{"_target_": f"{__name__}.Widget", "sise": 2}]},
            r"Unknown key 'sise' in widget\.parts\.0",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(arguments, words):
    with pytest.raises(UserError, match=words):
        instantiate(node(**arguments), "widget")


@pytest.mark.parametrize("share", [0.1, 1, None])
def test_a_number_may_be_whole_and_an_optional_value_null(share):
    assert instantiate(node(size=1, share=share), "widget").share == share


def test_a_target_that_does_not_exist_is_named():
    with pytest.raises(UserError, match=r"widget: cannot find nowhere\.Widget"):
        check_keys({"_target_": "nowhere.Widget"}, "widget")


def test_a_bug_of_a_constructor_is_not_taken_for_a_setting():
    with pytest.raises(ZeroDivisionError):
        instantiate(node(size=1, name="bug"), "widget")


def test_a_class_without_annotations_takes_anything():
    assert instantiate(OmegaConf.create({"_target_": "fractions.Fraction", "numerator": "1/3"}), "share") == Fraction(
        1, 3
    )


class Marked:
    """Takes a list of numbers."""

    def __init__(self, marks: Sequence[float] = (), one: float | Sequence[float] = 1.0) -> None:
        self.marks, self.one = marks, one


def test_a_list_of_numbers_is_no_number():
    built = instantiate(OmegaConf.create({"_target_": f"{__name__}.Marked", "marks": [0.5, 1], "one": [2]}), "marked")
    assert (built.marks, built.one) == ([0.5, 1], [2])
