import numpy as np
import pytest
import timm
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from amask_solo.data import make_shapes
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.linear import Linear
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.regression import fit_linear
from amask_solo.evaluation.scores import accuracy
from tests.evaluation.features import clouds, subject_of

SOLVERS = ["lbfgs", "sgd"]


def reference(features: torch.Tensor, labels: torch.Tensor, new: torch.Tensor, weight_decay: float) -> np.ndarray:
    scaler = StandardScaler().fit(features.double())
    model = LogisticRegression(C=1 / (weight_decay * len(labels)), tol=1e-8, max_iter=5000)
    return model.fit(scaler.transform(features.double()), labels).predict_proba(scaler.transform(new.double()))


@pytest.mark.parametrize("weight_decay", [1.0, 1e-2, 1e-4])
def test_probabilities_are_those_of_scikit_learn(weight_decay):
    features, labels = clouds(200)
    features = features * torch.logspace(-2, 2, 6) + torch.arange(6) * 3
    new = clouds(50, seed=1)[0] * torch.logspace(-2, 2, 6) + torch.arange(6) * 3
    found = fit_linear(features, labels, num_classes=4, weight_decay=weight_decay)(new).softmax(dim=1)
    np.testing.assert_allclose(found.detach(), reference(features, labels, new, weight_decay), atol=2e-3)


def test_features_that_are_nearly_the_same_do_not_slow_it_down():
    # The features of a network vary much along few directions and little along many.
    draw = torch.Generator().manual_seed(0)
    features, labels = clouds(300, dim=40, noise=2.0)
    features = features + 100 * torch.randn(300, 1, generator=draw)
    new = features[:60] + torch.randn(60, 40, generator=draw)
    found = fit_linear(features, labels, num_classes=4, weight_decay=1e-3)(new).softmax(dim=1)
    np.testing.assert_allclose(found.detach(), reference(features, labels, new, 1e-3), atol=5e-3)


def test_sgd_finds_nearly_what_lbfgs_finds():
    train, val = clouds(1000), clouds(500, seed=1)
    one, other = (
        fit_linear(*train, num_classes=4, weight_decay=1e-2, solver=solver)(val[0]).softmax(dim=1) for solver in SOLVERS
    )
    assert (one - other).abs().max() < 0.03


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("classes", [2, 4, 7])
def test_classes_that_lie_apart_are_told_apart(solver, classes):
    subject = subject_of(clouds(210, classes=classes, noise=0.01), clouds(70, classes=classes, noise=0.01, seed=1))
    scores = Linear(solver)(subject)
    assert scores["acc1"] == 100
    assert set(scores) == ({"acc1", "acc5"} if classes > 5 else {"acc1"})


def test_labels_that_mean_nothing_are_guessed():
    features, labels = clouds(400, noise=3.0)
    val, val_labels = clouds(400, noise=3.0, seed=1)
    draw = torch.Generator().manual_seed(0)
    mixed, val_mixed = (part[torch.randperm(400, generator=draw)] for part in (labels, val_labels))
    assert Linear()(subject_of((features, mixed), (val, val_mixed)))["acc1"] == pytest.approx(25, abs=8)


def test_few_images_of_many_features_are_regularized():
    # Of 200 features, each says a little; 100 images fix no weights, and half of them choose.
    few = subject_of(clouds(200, classes=2, noise=8.0, dim=200), clouds(1000, classes=2, noise=8.0, dim=200, seed=1))
    strong, weak, swept = (
        Linear(weight_decay=weight_decay, held_out=0.5)(few)["acc1"] for weight_decay in (10.0, 1e-6, [1e-6, 10.0])
    )
    assert strong > weak + 3
    assert swept == strong


def test_the_weight_decay_is_chosen_without_validation_images():
    train = clouds(200, noise=2.0)
    classifiers = [
        Linear().fit(subject_of(train, val)) for val in (clouds(50, seed=1), (torch.zeros(4, 6), torch.arange(4)))
    ]
    assert torch.equal(classifiers[0].weight, classifiers[1].weight)


def test_the_classifier_is_fitted_to_all_training_images():
    train = clouds(200, noise=2.0)
    classifier = Linear(weight_decay=[1e-2]).fit(subject_of(train, train))
    assert torch.equal(classifier.weight, fit_linear(*train, num_classes=4, weight_decay=1e-2).weight)


def test_its_scores_are_those_of_its_classifier():
    train, val = clouds(200, classes=8), clouds(100, classes=8, seed=1)
    subject = subject_of(train, val)
    logits = Linear().fit(subject)(val[0]).detach()
    assert Linear()(subject) == accuracy(logits, val[1], num_classes=8)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_same_seed_gives_the_same_classifier_and_leaves_the_global_stream_alone(solver):
    train = clouds(300, noise=2.0)
    before = torch.random.get_rng_state()
    one, other = (Linear(solver).fit(subject_of(train, train, seed=3)) for _ in range(2))
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(before, torch.random.get_rng_state())


def test_features_that_never_change_are_no_harm():
    features, labels = clouds(100, noise=0.01)
    constant = torch.cat([features, torch.full((100, 2), 7.0), torch.zeros(100, 2)], dim=1)
    new, new_labels = clouds(100, noise=0.01, seed=1)
    # One that moved by rounding alone in training moves in validation.
    moved = torch.cat([new, torch.full((100, 2), 7.1), torch.ones(100, 2)], dim=1)
    classifier = fit_linear(constant, labels, num_classes=4, weight_decay=1e-3)
    assert accuracy(classifier(moved).detach(), new_labels, num_classes=4) == {"acc1": 100.0}


def test_a_collapsed_backbone_scores_the_largest_class():
    labels = torch.tensor([0] * 30 + [1] * 70)
    subject = subject_of((torch.ones(100, 8), labels), (torch.ones(100, 8), labels))
    assert Linear()(subject) == {"acc1": pytest.approx(70)}


def test_a_class_without_training_images_is_never_the_answer():
    features, labels = clouds(80, classes=2)
    classifier = fit_linear(features, labels, num_classes=5, weight_decay=1e-2)
    assert classifier(features).argmax(dim=1).max() < 2


def test_it_fits_where_gradients_are_off():
    with torch.no_grad():
        assert Linear()(subject_of(clouds(80, noise=0.01), clouds(40, noise=0.01)))["acc1"] == 100


def test_a_backbone_is_scored_and_left_as_it_was():
    backbone = Backbone(timm.create_model("resnet18", num_classes=0)).eval()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    scores = Linear()(Subject(backbone, make_shapes(image_size=32, num_train=64, num_val=32)))
    assert 0 <= scores["acc1"] <= 100
    assert not backbone.training
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())


@pytest.mark.parametrize(
    "wrong",
    [
        {"solver": "newton"},
        {"weight_decay": []},
        {"weight_decay": [0.1, -1.0]},
        {"held_out": 0.0},
        {"held_out": 1.0},
        {"epochs": 0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        Linear(**wrong)


def test_a_negative_weight_decay_is_refused():
    with pytest.raises(ValueError, match="at least 0"):
        fit_linear(*clouds(8), num_classes=4, weight_decay=-1.0)
