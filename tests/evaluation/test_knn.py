import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from amask_solo.errors import UserError
from amask_solo.evaluation.knn import KNN, weighted_knn
from amask_solo.evaluation.protocol import Subject
from tests.evaluation.features import clouds, subject_of


def features(n: int, seed: int, classes: int = 4, dim: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=draw)
    centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))
    return centers[labels] + torch.randn(n, dim, generator=draw), labels


@settings(deadline=None, max_examples=20)
@given(
    k=st.sampled_from([1, 5, 20, 60]),
    tau=st.sampled_from([0.07, 0.5, 5.0]),
    seed=st.integers(0, 99),
)
def test_it_predicts_what_scikit_learn_predicts(k, tau, seed):
    train, labels = features(60, seed)
    test, _ = features(30, seed + 1000)
    reference = KNeighborsClassifier(k, metric="cosine", weights=lambda distance: np.exp((1 - distance) / tau))
    expected = reference.fit(train.double().numpy(), labels.numpy()).predict(test.double().numpy())
    predicted = weighted_knn(train, labels, test, k=k, temperature=tau)
    assert predicted.tolist() == expected.tolist()


def test_the_chunk_size_changes_nothing():
    train, labels = features(50, 0)
    test, _ = features(23, 1)
    whole = weighted_knn(train, labels, test, k=7)
    assert torch.equal(whole, weighted_knn(train, labels, test, k=7, chunk=5))


def test_the_length_of_features_does_not_matter():
    train, labels = features(50, 0)
    test, _ = features(23, 1)
    stretched = train * torch.linspace(0.1, 9, 50).unsqueeze(1)
    predicted = weighted_knn(stretched, labels, 1e3 * test, k=7)
    assert torch.equal(predicted, weighted_knn(train, labels, test, k=7))


def test_fewer_neighbors_than_k_all_vote():
    train, labels = features(5, 0)
    assert weighted_knn(train, labels, train, k=200, temperature=0.01).tolist() == labels.tolist()


def test_a_low_temperature_does_not_overflow():
    train, labels = features(40, 0)
    predicted = weighted_knn(train, labels, train, k=10, temperature=1e-4)
    assert torch.equal(predicted, labels)


def test_classes_that_no_neighbor_has_are_allowed():
    train, labels = features(10, 0, classes=2)
    assert weighted_knn(train, labels, train, k=3, num_classes=10).max() < 2


@pytest.mark.parametrize("setting", [{"k": 0}, {"temperature": 0.0}])
def test_settings_out_of_range_are_refused(setting):
    train, labels = features(10, 0)
    with pytest.raises(ValueError, match="Expected"):
        weighted_knn(train, labels, train, **setting)


@pytest.mark.parametrize("classes", [2, 4, 7])
def test_classes_that_lie_apart_are_told_apart(classes):
    train, val = (clouds(70, classes=classes, noise=0.01, seed=seed) for seed in (0, 1))
    assert KNN(k=[1, 5])(subject_of(train, val)) == {"acc1": 100.0, "acc1_k1_t0.07": 100.0, "acc1_k5_t0.07": 100.0}


def test_every_combination_is_scored_as_if_it_were_alone():
    train, val = clouds(90, noise=2.0), clouds(60, noise=2.0, seed=1)
    scores = KNN(k=[1, 7, 500], temperature=[0.07, 1.0])(subject_of(train, val))
    for k in (1, 7, 500):
        for temperature, shown in ((0.07, "0.07"), (1.0, "1")):
            predicted = weighted_knn(*train, val[0], k=k, temperature=temperature)
            expected = 100 * (predicted == val[1]).float().mean().item()
            assert scores[f"acc1_k{k}_t{shown}"] == pytest.approx(expected)
    assert len(scores) == 7


def test_the_headline_is_chosen_on_training_images_not_on_validation_images():
    # Among training images many neighbors are best: labels are partly wrong. One neighbor is best in validation.
    features, labels = clouds(400, noise=0.3)
    wrong = torch.rand(400, generator=torch.Generator().manual_seed(0)) < 0.4
    labels = torch.where(wrong, (labels + 1) % 4, labels)
    scores = KNN(k=[1, 50])(subject_of((features, labels), (features, labels)))
    assert scores["acc1_k1_t0.07"] == 100
    assert scores["acc1"] == scores["acc1_k50_t0.07"] < 80


def test_labels_that_mean_nothing_are_guessed():
    train, val = clouds(400), clouds(400, seed=1)
    mixed = val[1][torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    assert KNN()(subject_of(train, (val[0], mixed)))["acc1"] == pytest.approx(25, abs=8)


def test_one_number_is_a_list_of_one():
    subject = subject_of(clouds(40), clouds(20, seed=1))
    assert KNN(k=3, temperature=0.5)(subject) == KNN(k=[3], temperature=[0.5])(subject)


@pytest.mark.parametrize("wrong", [{"k": [5, 0]}, {"k": []}, {"temperature": [0.07, -1.0]}, {"temperature": []}])
def test_a_protocol_refuses_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="Expected"):
        KNN(**wrong)


@pytest.fixture
def subject() -> Subject:
    return subject_of(clouds(80, noise=2.0), clouds(40, noise=2.0, seed=1))


def test_by_euclidean_distance_neighbors_vote_with_its_inverse(subject):
    (bank, labels), (queries, wanted) = subject.features("train"), subject.features("val")
    hits = 0
    for query, right in zip(queries, wanted, strict=True):
        distance = (bank - query).norm(dim=1)
        near = distance.argsort()[:7]
        heard = [sum(1 / (distance[n] + 1e-5) for n in near if labels[n] == kind) for kind in range(4)]
        hits += int(torch.tensor(heard).argmax() == right)
    scores = KNN(k=7, distance="euclidean")(subject)
    assert scores == {"acc1": pytest.approx(100 * hits / len(wanted)), "acc1_k7_euclidean": scores["acc1"]}


def test_both_distances_and_both_features_are_scored_beside_one_another(subject):
    subject.make_head = lambda: torch.nn.Linear(6, 2).eval()
    scores = KNN(k=[3, 5], distance=["cosine", "euclidean"], features=["backbone", "projector"])(subject)
    ends = ("t0.07", "euclidean", "t0.07_projector", "euclidean_projector")
    assert set(scores) == {"acc1"} | {f"acc1_k{k}_{end}" for k in (3, 5) for end in ends}
    assert scores["acc1_k5_t0.07"] == KNN(k=5)(subject)["acc1"]


def test_projections_are_those_of_the_runs_head(subject):
    subject.make_head = lambda: torch.nn.Linear(6, 2).eval()
    projected = {split: (subject.head(subject.features(split)[0]).detach(), subject.features(split)[1])
                 for split in ("train", "val")}  # fmt: skip
    alone = subject_of(*projected.values())
    assert KNN(k=5, features="projector")(subject)["acc1"] == KNN(k=5)(alone)["acc1"]


def test_a_run_without_projector_says_so(subject):
    with pytest.raises(UserError, match="no projector"):
        KNN(features="projector")(subject)
