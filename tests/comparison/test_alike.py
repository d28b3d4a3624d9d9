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
