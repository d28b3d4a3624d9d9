import pytest
import torch

from amask_solo.errors import UserError
from amask_solo.evaluation.clustering import Clustering
from tests.evaluation.features import clouds, subject_of

TRAIN = clouds(8)


def test_classes_that_lie_apart_are_found():
    scores = Clustering()(subject_of(TRAIN, clouds(100, noise=0.01)))
    assert scores == pytest.approx({"nmi": 100, "ari": 100, "fmi": 100})


def test_two_classes_are_enough():
    val = clouds(40, classes=2, noise=0.01)
    assert Clustering()(subject_of(val, val))["ari"] == pytest.approx(100)


def test_classes_without_an_image_to_score_need_no_cluster():
    train, val = clouds(40), clouds(40, classes=4, noise=0.01)
    some = val[1] < 2
    assert Clustering()(subject_of(train, (val[0][some], val[1][some])))["ari"] == pytest.approx(100)


def test_labels_that_mean_nothing_are_not_found():
    features, labels = clouds(600)
    mixed = labels[torch.randperm(600, generator=torch.Generator().manual_seed(0))]
    scores = Clustering()(subject_of(TRAIN, (features, mixed)))
    assert scores["ari"] == pytest.approx(0, abs=2)
    assert scores["nmi"] < 4


def test_the_length_of_features_does_not_matter():
    features, labels = clouds(100, noise=0.3)
    longer = features * torch.linspace(0.1, 9, 100).unsqueeze(1)
    one, other = (Clustering()(subject_of(TRAIN, (part, labels))) for part in (features, longer))
    assert one == pytest.approx(other)


def test_scores_are_those_of_counted_pairs():
    # Two clusters of two classes: three images of one and one of the other, and the other way round.
    features = torch.tensor([[1.0, 0]] * 4 + [[0, 1.0]] * 4) + torch.linspace(0, 1e-3, 8).unsqueeze(1)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0])
    together = [(i, j) for i in range(8) for j in range(i) if (i < 4) == (j < 4)]
    alike = [(i, j) for i in range(8) for j in range(i) if labels[i] == labels[j]]
    both, pairs = len({*together} & {*alike}), 28
    by_chance = len(together) * len(alike) / pairs
    scores = Clustering()(subject_of((features, labels), (features, labels)))
    assert scores["fmi"] == pytest.approx(100 * both / (len(together) * len(alike)) ** 0.5)
    assert scores["ari"] == pytest.approx(100 * (both - by_chance) / ((len(together) + len(alike)) / 2 - by_chance))


def test_another_number_of_clusters_can_be_asked_for():
    val = clouds(100, noise=0.01)
    coarse = Clustering(clusters=2)(subject_of(TRAIN, val))
    assert coarse["ari"] < 90


def test_a_seed_reproduces():
    val = clouds(200, noise=1.5)
    one, other = (Clustering(runs=1)(subject_of(TRAIN, val, seed=5)) for _ in range(2))
    assert one == other


def test_fewer_images_than_clusters_are_refused():
    with pytest.raises(UserError, match="lower clusters"):
        Clustering(clusters=9)(subject_of(TRAIN, clouds(8)))


@pytest.mark.parametrize("wrong", [{"clusters": 1}, {"runs": 0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        Clustering(**wrong)
