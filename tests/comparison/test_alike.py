from dataclasses import replace

import pytest

from amask_solo.comparison.alike import fingerprints, trained_unlike
from tests.comparison.folder import record

BEFORE = {"images": 8, "classes": ["cat", "dog"], "names": "12ab"}


def run(seed, epochs=10, steps=1000, **more):
    return replace(record("byol", "stock", seed, 50.0), summary={"epochs": epochs, "steps": steps, **more})


def test_runs_of_as_many_epochs_and_other_numbers_of_steps_are_named():
    assert trained_unlike([run(0), run(1), run(2, 20, 2000)]) == trained_unlike([]) == ""
    assert "10 epochs took 500 or 1,000 steps" in trained_unlike([run(0), run(1, steps=500)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": 1000}, "the runs saw 8 or 1,000 images"),
        ({"classes": ["cat", "wolf"]}, "not all saw the classes dog, wolf"),
        ({"images": 10, "classes": ["cat", "dog", "wolf"]}, "the runs saw 8 or 10 images; not all saw the class wolf"),
        ({"names": "34cd"}, "all saw 8 images, but of other names, classes or order"),
    ],
)
def test_what_differs_between_the_images_of_runs_is_said(change, said):
    runs = [run(0, fingerprint=BEFORE), run(1, fingerprint=BEFORE | change)]
    assert trained_unlike(runs) == f"**Not trained alike:** {said}. Such runs do not compare."


def test_runs_of_older_versions_do_not_say_on_which_images_they_were_and_count_as_alike():
    runs = [run(0), run(1, fingerprint=BEFORE), run(2, fingerprint=dict(BEFORE))]
    assert trained_unlike(runs) == ""
    assert fingerprints(runs) == [BEFORE]


def test_runs_of_older_versions_that_say_no_labels_are_alike_those_that_do():
    newer = BEFORE | {"labels": "56ef"}
    assert trained_unlike([run(0, fingerprint=BEFORE), run(1, fingerprint=newer)]) == ""
    others = [run(2, fingerprint=newer), run(3, fingerprint=newer | {"labels": "78ab"})]
    assert "all saw 8 images, but of other names, classes or order" in trained_unlike(
        [run(0, fingerprint=BEFORE), *others]
    )


def arms(seed, **of_arm):
    """Return a run of each arm, with what its summary says beside the usual."""
    return [replace(run(seed, **more), arm=arm) for arm, more in of_arm.items()]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"precision": "32-true"}, {"precision": "bf16-mixed"}, "precision 32-true (`stock`, `random`) or bf16-mixed"),
        ({"host": "release"}, {"host": "current"}, "host release (`stock`, `random`) or current"),
        ({"processes": 1}, {"processes": 2}, "processes 1 (`stock`, `random`) or 2"),
        (
            {"versions": {"torch": "2.11", "kornia": "0.9"}},
            {"versions": {"torch": "2.15", "kornia": "0.9"}},
            "torch 2.11 (`stock`, `random`) or 2.15",
        ),
    ],
)
def test_arms_of_a_seed_that_were_made_in_other_ways_are_named(one, other, said):
    runs = [made for seed in (0, 1) for made in arms(seed, stock=one, random=one, learned=other)]
    assert trained_unlike(runs).startswith(f"**Not trained alike:** {said} (`learned`) in byol 0, byol 1.")


def test_seeds_and_bases_may_differ_if_all_of_their_arms_are_alike():
    old, new = ({"precision": "32-true", "versions": {"torch": version}} for version in ("2.11", "2.15"))
    runs = arms(0, stock=old, learned=old) + arms(1, stock=new, learned=new)
    others = [replace(made, base="simclr") for made in arms(0, stock=new, learned=new)]
    assert trained_unlike([*runs, *others]) == ""
    # Neither Python nor what an older version did not write down makes a difference.
    python = arms(2, stock={"versions": {"python": "3.11"}}, learned={"versions": {"python": "3.12"}})
    assert trained_unlike([*python, *arms(3, stock={}, learned=new)]) == ""
