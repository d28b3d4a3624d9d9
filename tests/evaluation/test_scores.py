import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from amask_solo.errors import UserError
from amask_solo.evaluation.knn import KNN
from amask_solo.evaluation.linear import Linear
from amask_solo.evaluation.scores import accuracy, choosing_split
from tests.evaluation.features import clouds, subject_of


def draw(classes: int, count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(classes)
    return torch.randn(count, classes, generator=generator), torch.randint(classes, (count,), generator=generator)


@pytest.mark.parametrize("classes", [3, 6, 20])
def test_logits_are_scored_as_scikit_learn_scores_them(classes):
    logits, labels = draw(classes)
    scores = accuracy(logits, labels, num_classes=classes)
    for name, score in scores.items():
        k = int(name.removeprefix("acc"))
        expected = 100 * top_k_accuracy_score(labels, logits, k=k, labels=range(classes))
        assert score == pytest.approx(expected)


@pytest.mark.parametrize(("classes", "names"), [(2, {"acc1"}), (4, {"acc1"}), (5, {"acc1"}), (6, {"acc1", "acc5"})])
def test_five_guesses_are_scored_where_they_can_be_wrong(classes, names):
    logits, labels = draw(classes)
    assert set(accuracy(logits, labels, num_classes=classes)) == names


def test_predictions_have_one_score_that_counts_images_not_classes():
    predicted, labels = torch.tensor([0, 0, 0, 7]), torch.tensor([0, 0, 1, 2])
    assert accuracy(predicted, labels, num_classes=10) == {"acc1": 50.0}


@given(
    labels=st.lists(st.integers(0, 3), min_size=2, max_size=80),
    fraction=st.floats(0.05, 0.5),
    seed=st.integers(0, 9),
)
def test_every_image_is_either_fitted_or_held_out(labels, fraction, seed):
    first, second = choosing_split(torch.tensor(labels), fraction, seed=seed)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(len(labels)))
    assert len(first) >= 1
    assert len(second) == max(1, int(len(labels) * fraction))


def test_each_class_is_held_out_alike():
    labels = torch.tensor([0] * 80 + [1] * 20)
    _, held = choosing_split(labels, 0.1, seed=0)
    assert labels[held].bincount().tolist() == [8, 2]


def test_one_image_cannot_be_split():
    with pytest.raises(UserError, match="add images"):
        choosing_split(torch.tensor([0]), 0.1, seed=0)


@pytest.mark.parametrize("protocol", [KNN(), Linear()])
def test_a_single_class_is_refused(protocol):
    single = subject_of(clouds(8, classes=1), clouds(8, classes=1))
    single._features.clear()
    with pytest.raises(UserError, match="'clouds' have one class alone"):
        protocol(single)
