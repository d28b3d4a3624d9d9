import copy
import logging
import warnings
from dataclasses import replace

import pytest
import timm
import torch
from torch import nn
from torch.optim import SGD

from amask_solo.data import ArrayImages, ImageData, make_shapes
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.classifier import Classifier, train_head
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.trained import HostLinear

STATS = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def backbone() -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Backbone(timm.create_model("resnet10t", num_classes=0)).eval()


def noisy_grays(count: int, classes: int, *, seed: int = 0) -> ArrayImages:
    """Draw images whose class is how bright they are."""
    labels = torch.arange(count) % classes
    noise = torch.randint(-8, 9, (count, 3, 32, 32), generator=torch.Generator().manual_seed(seed))
    levels = 20 + 215 * labels // (classes - 1)
    return ArrayImages((levels[:, None, None, None] + noise).clamp(0, 255).byte(), labels)


def grays(train: int = 64, val: int = 32, classes: int = 2) -> ImageData:
    names = [str(number) for number in range(classes)]
    sets = noisy_grays(train, classes), noisy_grays(val, classes, seed=1)
    return ImageData(*sets, classes, names, *STATS, 32, "grays")


def test_classes_that_differ_in_brightness_are_told_apart():
    subject = Subject(backbone(), grays())
    assert HostLinear(epochs=4, batch_size=16, lr=3.0)(subject) == {"acc1": 100.0}


def test_classes_that_do_not_differ_are_not():
    data = grays(val=128)
    shuffled = data.val.labels[torch.randperm(128, generator=torch.Generator().manual_seed(0))]
    data = replace(data, val=ArrayImages(data.val.images, shuffled))
    scores = HostLinear(epochs=2, batch_size=16, lr=3.0)(Subject(backbone(), data))
    assert 35 < scores["acc1"] < 65


def test_more_than_five_classes_have_a_top_five():
    scores = HostLinear(epochs=1)(Subject(backbone(), make_shapes(num_train=64, num_val=32, num_classes=6)))
    assert set(scores) == {"acc1", "acc5"}
    assert scores["acc1"] <= scores["acc5"]


def test_neither_the_backbone_nor_the_global_random_stream_changes():
    subject = Subject(backbone(), grays())
    before, modes = copy.deepcopy(subject.backbone.state_dict()), [m.training for m in subject.backbone.modules()]
    stream = torch.get_rng_state()
    HostLinear(epochs=1, batch_size=16)(subject)
    assert torch.equal(torch.get_rng_state(), stream)
    assert [m.training for m in subject.backbone.modules()] == modes
    assert all(parameter.requires_grad for parameter in subject.backbone.parameters())
    for name, value in subject.backbone.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_copy_that_is_scored_is_frozen_too_with_its_statistics():
    subject = Subject(backbone(), grays())
    classifier = train_head(Classifier, subject, subject.data.train, HostLinear(epochs=2, batch_size=16).recipe)
    for name, value in subject.backbone.state_dict().items():
        assert torch.equal(value, classifier.backbone.state_dict()[name])


def test_a_seed_decides_everything():
    def weights(seed):
        subject = Subject(backbone(), grays(), seed=seed)
        return train_head(
            Classifier, subject, subject.data.train, HostLinear(epochs=2, batch_size=16).recipe
        ).head.weight

    first = weights(3)
    torch.rand(5)
    assert torch.equal(first, weights(3))
    assert not torch.equal(first, weights(4))


def test_images_without_a_label_are_left_out():
    data = grays()
    noise = torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    more = {
        split: ArrayImages(torch.cat([noise, images.images]), torch.cat([torch.full((16,), -1), images.labels]))
        for split, images in (("train", data.train), ("val", data.val))
    }
    protocol = HostLinear(epochs=1, batch_size=16)
    assert protocol(Subject(backbone(), data)) == protocol(Subject(backbone(), replace(data, **more)))


def test_the_learning_rate_falls_to_a_tenth_after_epochs_60_and_80():
    recipe = HostLinear().recipe
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=recipe.head_lr)
    schedule = recipe.schedule(optimizer)
    rates = []
    for _ in range(recipe.epochs):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.3] * 60 + [0.03] * 20 + [0.003] * 20)


def test_the_learning_rate_is_in_proportion_to_the_batch_and_the_head_alone_is_trained():
    recipe = HostLinear(lr=0.4).recipe
    classifier = Classifier(Subject(backbone(), grays()), recipe)
    optimizer = recipe.make_optimizer(classifier, batch_size=64)
    assert [group["lr"] for group in optimizer.param_groups] == [pytest.approx(0.1)]
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in classifier.head.parameters()}


def test_a_training_says_nothing(capfd, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.simplefilter("error")
        HostLinear(epochs=1, batch_size=16)(Subject(backbone(), grays()))
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []


def test_who_waits_can_hear_how_far_it_is():
    heard = []
    HostLinear(epochs=2, batch_size=16)(Subject(backbone(), grays(), tell=heard.append))
    assert heard == ["epoch 1 of 2", "epoch 2 of 2"]


def test_an_interruption_is_one_and_no_failure():
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HostLinear(epochs=2, batch_size=16)(Subject(backbone(), grays(), tell=interrupt))


def test_data_without_validation_images_or_labels_are_a_mistake_of_the_user():
    data = grays()
    with pytest.raises(UserError, match="no validation images"):
        HostLinear()(Subject(backbone(), replace(data, val=None)))
    unlabeled = ArrayImages(data.train.images, torch.full((64,), -1))
    with pytest.raises(UserError, match="train images of 'grays' have no labels"):
        HostLinear()(Subject(backbone(), replace(data, train=unlabeled)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr": 0.0},
        {"weight_decay": -1.0},
        {"milestones": [60.0, 80.0]},
    ],
)
def test_wrong_settings_are_refused_at_construction(wrong):
    with pytest.raises(ValueError, match="Expected"):
        HostLinear(**wrong)
