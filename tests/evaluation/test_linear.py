import shutil
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from amask_solo.data import ArrayImages, make_shapes
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.linear import Linear, coarsen, linear_probe, pick_share
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.regression import Settings, fit_linear
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
    found = fit_linear(features, labels, Settings(4), weight_decay=weight_decay)(new).softmax(dim=1)
    np.testing.assert_allclose(found.detach(), reference(features, labels, new, weight_decay), atol=2e-3)


def test_features_that_are_nearly_the_same_do_not_slow_it_down():
    # The features of a network vary much along few directions and little along many.
    draw = torch.Generator().manual_seed(0)
    features, labels = clouds(300, dim=40, noise=2.0)
    features = features + 100 * torch.randn(300, 1, generator=draw)
    new = features[:60] + torch.randn(60, 40, generator=draw)
    found = fit_linear(features, labels, Settings(4), weight_decay=1e-3)(new).softmax(dim=1)
    np.testing.assert_allclose(found.detach(), reference(features, labels, new, 1e-3), atol=5e-3)


def test_sgd_finds_nearly_what_lbfgs_finds():
    train, val = clouds(1000), clouds(500, seed=1)
    one, other = (
        fit_linear(*train, Settings(4, solver), weight_decay=1e-2)(val[0]).softmax(dim=1) for solver in SOLVERS
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
    assert torch.equal(classifier.weight, fit_linear(*train, Settings(4), weight_decay=1e-2).weight)


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
    classifier = fit_linear(constant, labels, Settings(4), weight_decay=1e-3)
    assert accuracy(classifier(moved).detach(), new_labels, num_classes=4) == {"acc1": 100.0}


def test_a_collapsed_backbone_scores_the_largest_class():
    labels = torch.tensor([0] * 30 + [1] * 70)
    subject = subject_of((torch.ones(100, 8), labels), (torch.ones(100, 8), labels))
    assert Linear()(subject) == {"acc1": pytest.approx(70)}


def test_a_class_without_training_images_is_never_the_answer():
    features, labels = clouds(80, classes=2)
    classifier = fit_linear(features, labels, Settings(5), weight_decay=1e-2)
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
        fit_linear(*clouds(8), Settings(4), weight_decay=-1.0)


# ---------------------------------------------------------------------- shares of the labels, variants, classes


@pytest.fixture
def scattered() -> Subject:
    return subject_of(clouds(400, noise=3.0), clouds(200, noise=3.0, seed=1))


def test_the_share_of_all_labels_is_the_usual_score(scattered):
    assert Linear(fraction=1.0)(scattered) == Linear()(scattered) == Linear(fraction=[1])(scattered)


def test_a_share_is_balanced_and_the_same_for_every_weight_decay(scattered):
    picks = pick_share(scattered.labeled("train"), 0.1, seed=0)
    assert scattered.features("train")[1][picks].bincount().tolist() == [10] * 4
    assert set(pick_share(scattered.labeled("train"), 0.001, seed=0).tolist()) <= set(picks.tolist())
    features, labels = (part[picks] for part in scattered.features("train"))
    alone = subject_of((features, labels), scattered.features("val"))
    assert Linear(fraction=0.1)(scattered)["acc1"] == Linear()(alone)["acc1"]


def test_several_shares_are_named_and_the_last_is_the_score(scattered):
    scores = Linear(fraction=[0.02, 1.0], weight_decay=0.1)(scattered)
    assert set(scores) == {"acc1", "acc1_fraction0.02"}
    assert scores["acc1"] == Linear(weight_decay=0.1)(scattered)["acc1"] > scores["acc1_fraction0.02"]


def test_a_published_list_says_which_images_have_a_label(scattered, tmp_path):
    scattered.data.train.names = [f"n{number % 4}/n{number % 4}_{number}.JPEG" for number in range(400)]
    (tmp_path / "1percent.txt").write_text("n0_0.JPEG\nn1_1.JPEG\nelsewhere/n2_2.JPEG\nn3_3.JPEG\nn9_9.JPEG\n")
    protocol = Linear(fraction=str(tmp_path / "1percent.txt"), weight_decay=0.1)
    assert pick_share(scattered.labeled("train"), protocol.fraction[0], seed=0).tolist() == [0, 1, 2, 3]
    assert set(protocol(scattered)) == {"acc1", "acc1_fraction1percent"}
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "1percent.txt", tmp_path / "again")
    lists = [str(tmp_path / "1percent.txt"), str(tmp_path / "again" / "1percent.txt")]
    scores = Linear(fraction=lists, weight_decay=0.1)(scattered)
    assert set(scores) == {"acc1", "acc1_fraction1percent", "acc1_fraction1percent_2"}
    (tmp_path / "other.txt").write_text("cat.jpg\n")
    for wrong, said in (("other.txt", "None of the 1 files"), ("gone.txt", "or a list of files, but got")):
        with pytest.raises(UserError, match=said):
            Linear(fraction=str(tmp_path / wrong))(scattered)


@pytest.mark.parametrize("above", ["", "./", "/data/train/"])
def test_files_named_alike_are_told_apart_by_their_folders(scattered, tmp_path, above):
    images, file = scattered.labeled("train"), tmp_path / "few.txt"
    images.names = [f"{folder}/{number:04}.jpg" for number in range(100) for folder in ("cat", "cow", "dog", "pig")]
    file.write_text("".join(f"{above}{folder}/0001.jpg\n" for folder in ("cat", "dog", "pig", "fish")))
    assert pick_share(images, str(file), seed=0).tolist() == [4, 6, 7]
    file.write_text("cat/0002.jpg\n0001.jpg\n")
    with pytest.raises(
        UserError, match=r"'0001.jpg' in .*few.txt' fits 4 .*'cat/0001.jpg' and 'cow/0001.jpg'; .* folder"
    ):
        pick_share(images, str(file), seed=0)


def with_variants(subject: Subject, **variants) -> Subject:
    return replace(subject, data=replace(subject.data, **variants))


def test_variants_with_the_same_training_images_are_scored_by_the_same_classifier(scattered):
    data = scattered.data
    changed = ArrayImages(torch.zeros(60, 3, 4, 4, dtype=torch.uint8), torch.arange(60) % 4)
    variants = {"same": replace(data), "changed": replace(data, val=changed)}
    subject = with_variants(scattered, variants=variants, gaps={"gap": ("same", "changed")})
    known = {"train": scattered.features("train"), "val": scattered.features("val")}
    subject._features.update(known)
    scores = Linear(weight_decay=0.1)(subject)
    guess = Linear(weight_decay=0.1).fit(scattered)(subject.encode(subject.view(changed.stack()))).argmax(dim=1)
    assert scores["acc1_changed"] == pytest.approx(100 * (guess == changed.labels).float().mean().item())
    assert scores["gap"] == scores["acc1_same"] - scores["acc1_changed"]
    assert len(subject.right["acc1_changed"]) == 60


def test_a_prediction_counts_as_the_coarse_class_of_its_own_class():
    data = subject_of(clouds(8), clouds(8)).data
    coarse = replace(data, num_classes=3, class_names=["a", "b", "other"], counts_as=(0, 0, 1, 2))
    logits = torch.tensor([[1.0, 3.0, 2.0, 0.0], [1.0, 1.5, 2.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert coarsen(logits, coarse).argmax(dim=1).tolist() == [0, 1, 2]
    assert coarsen(logits, data) is logits


def test_the_mean_over_classes_is_that_of_scikit_learn(scattered):
    features, labels = scattered.features("val")
    few = torch.cat([(labels != 0).nonzero()[:, 0], (labels == 0).nonzero()[:3, 0]])
    uneven = subject_of(scattered.features("train"), (features[few], labels[few]))
    uneven = with_variants(uneven, metric="mean_per_class")
    classifier = Linear(weight_decay=0.1).fit(uneven)
    guess = classifier(features[few]).argmax(dim=1)
    scores = Linear(weight_decay=0.1)(uneven)
    assert scores["mean_per_class"] == pytest.approx(100 * balanced_accuracy_score(labels[few], guess))
    assert scores["mean_per_class"] != pytest.approx(scores["acc1"])


def test_protocols_share_a_probe_of_the_same_features_alone(scattered):
    probe = linear_probe(scattered)
    assert linear_probe(scattered) is probe
    again = Linear().fit(scattered)
    torch.testing.assert_close(probe.weight, again.weight, rtol=0, atol=0)
    other = replace(scattered, _features={"train": clouds(40, seed=7)})
    assert linear_probe(other) is not probe
    assert linear_probe(scattered) is probe
