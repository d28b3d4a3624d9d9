import copy
import math

import pytest
import timm
import torch

from amask_solo.data import ArrayImages, ImageData, make_shapes
from amask_solo.errors import UserError
from amask_solo.evaluation.backbone import Backbone
from amask_solo.evaluation.classifier import Classifier, train_head
from amask_solo.evaluation.protocol import Subject
from amask_solo.evaluation.trained import FineTune, warm_cosine


class Watched(ArrayImages):
    """Images that remember which of them were asked for."""

    def __init__(self, images, labels):
        super().__init__(images, labels)
        self.seen = set()

    def select(self, picks):
        self.seen.update(picks.tolist())
        return super().select(picks)


def backbone() -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Backbone(timm.create_model("resnet10t", num_classes=0)).eval()


def grays(train: int = 64, val: int = 32) -> ImageData:
    """Draw dark and bright images; a quarter of them is bright."""

    def draw(count, seed):
        labels = (torch.arange(count) % 4 == 0).long()
        noise = torch.randint(32, (count, 3, 32, 32), generator=torch.Generator().manual_seed(seed))
        return Watched((noise + 200 * labels[:, None, None, None]).byte(), labels)

    return ImageData(
        draw(train, 0), draw(val, 1), 2, ["dark", "bright"], (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 32, "grays"
    )


def test_all_labels_tell_bright_from_dark():
    scores = FineTune(fraction=[1.0], epochs=3, batch_size=16, lr=0.5, head_lr=0.5)(Subject(backbone(), grays()))
    assert scores == {"acc1": 100.0, "acc1_fraction1": 100.0}


@pytest.mark.parametrize("rates", [{"lr": 1e20}, {"head_lr": 1e38}])
def test_a_training_that_diverged_is_no_result(rates):
    with pytest.raises(UserError, match=r"diverged; lower its learning rates"):
        FineTune(fraction=[1.0], epochs=2, batch_size=16, **rates)(Subject(backbone(), grays()))


def test_a_broken_backbone_is_not_taken_for_a_training_that_diverged():
    broken = backbone()
    with torch.no_grad():
        next(broken.parameters()).fill_(torch.nan)
    with pytest.raises(UserError, match="features that are not finite"):
        FineTune(fraction=[1.0], epochs=1)(Subject(broken, grays()))


def test_each_share_has_a_score_and_the_largest_is_the_first():
    subject = Subject(backbone(), make_shapes(num_train=64, num_val=32, num_classes=6))
    scores = FineTune(fraction=[1.0, 0.1, 0.25], epochs=1, batch_size=16)(subject)
    shares = ["", "_fraction0.1", "_fraction0.25", "_fraction1"]
    assert set(scores) == {f"acc{k}{share}" for k in (1, 5) for share in shares}
    assert scores["acc1"] == scores["acc1_fraction1"]


def test_every_weight_of_a_copy_is_trained():
    subject = Subject(backbone(), grays())
    classifier = train_head(Classifier, subject, subject.data.train, FineTune(epochs=2, batch_size=16, lr=1.0).recipe)
    trained = classifier.backbone.state_dict()
    for name, parameter in subject.backbone.named_parameters():
        assert not torch.equal(parameter, trained[name]), name
    assert not torch.equal(subject.backbone.model.bn1.running_mean, classifier.backbone.model.bn1.running_mean)
    assert not any(module.training for module in classifier.modules())


def test_neither_the_backbone_nor_the_global_random_stream_changes():
    subject = Subject(backbone(), grays())
    before, stream = copy.deepcopy(subject.backbone.state_dict()), torch.get_rng_state()
    FineTune(fraction=[0.5], epochs=1, batch_size=16)(subject)
    assert torch.equal(torch.get_rng_state(), stream)
    assert not any(module.training for module in subject.backbone.modules())
    assert all(parameter.grad is None for parameter in subject.backbone.parameters())
    for name, value in subject.backbone.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_larger_share_has_the_images_of_a_smaller_one_in_equal_classes():
    def seen(share, seed=0):
        subject = Subject(backbone(), grays(), seed=seed)
        FineTune(fraction=[share], epochs=1)(subject)
        return subject.data.train.seen

    small, large = seen(0.125), seen(0.25)
    assert (len(small), len(large)) == (8, 16)
    assert small < large
    assert sum(index % 4 == 0 for index in small) == 4
    assert small != seen(0.125, seed=1)


def test_the_smallest_share_has_one_image_of_each_class():
    subject = Subject(backbone(), grays())
    FineTune(fraction=[0.001], epochs=1)(subject)
    assert sorted(index % 4 == 0 for index in subject.data.train.seen) == [False, True]


def test_the_same_seed_gives_the_same_scores():
    protocol = FineTune(fraction=[0.5], epochs=1, batch_size=8)
    shapes = make_shapes(num_train=48, num_val=64, num_classes=4)
    assert protocol(Subject(backbone(), shapes, seed=5)) == protocol(Subject(backbone(), shapes, seed=5))


def test_backbone_and_head_have_learning_rates_of_their_own_that_end_near_zero():
    recipe = FineTune(lr=0.04, head_lr=0.4, epochs=10).recipe
    optimizer = recipe.make_optimizer(Classifier(Subject(backbone(), grays()), recipe), batch_size=64)
    schedule = recipe.schedule(optimizer)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.01])
    for _ in range(10):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([0, 0])


def test_data_without_validation_images_are_a_mistake_of_the_user():
    data = make_shapes(num_train=16, num_val=0)
    with pytest.raises(UserError, match="no validation images"):
        FineTune()(Subject(backbone(), data))


@pytest.mark.parametrize(
    "wrong",
    [{"fraction": []}, {"fraction": [0.0]}, {"fraction": [10.0]}, {"lr": 0.0}, {"head_lr": -1.0}, {"epochs": 0}],
)
def test_wrong_settings_are_refused_at_construction(wrong):
    with pytest.raises(ValueError, match="Expected"):
        FineTune(**wrong)


# ---------------------------------------------------------------------- transformers


def test_learning_rates_rise_in_equal_steps_and_then_fall():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3.0)
    schedule, rates = warm_cosine(optimizer, epochs=6, warmup=2), []
    for _ in range(6):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    fall = [1.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    assert rates == pytest.approx([1.0, 2.0, *fall])


def test_each_layer_of_a_vit_learns_slower_than_the_one_behind_it():
    """As in timm: by the factor for each layer, without decay of biases, norms and positions."""
    vit = Backbone(timm.create_model("test_vit", num_classes=0, img_size=32)).eval()
    recipe = FineTune(optimizer="adamw", lr=0.1, head_lr=0.3, weight_decay=0.05, layer_decay=0.5).recipe
    optimizer = recipe.make_optimizer(Classifier(Subject(vit, grays()), recipe), batch_size=128)
    first, *others = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (first["lr"], first["weight_decay"]) == (0.15, 0.05)
    rates = sorted({group["lr"] for group in others})
    assert rates == pytest.approx([0.05 * 0.5**depth for depth in range(len(vit.model.blocks) + 1, 0, -1)])
    assert sum(p.numel() for group in others for p in group["params"]) == sum(p.numel() for p in vit.parameters())
    decayed = [p for group in others if group["weight_decay"] for p in group["params"]]
    assert min(parameter.ndim for parameter in decayed) == 2
    assert vit.model.pos_embed.shape in {p.shape for p in others[0]["params"]} | {p.shape for p in others[1]["params"]}
    assert vit.model.pos_embed.shape not in {parameter.shape for parameter in decayed}


def test_a_vit_is_fine_tuned():
    vit = Backbone(timm.create_model("test_vit", num_classes=0, img_size=32)).eval()
    vit_settings = {"optimizer": "adamw", "lr": 0.02, "head_lr": 0.1, "warmup": 1, "layer_decay": 0.75}
    assert FineTune(fraction=[1.0], epochs=3, batch_size=16, **vit_settings)(Subject(vit, grays()))["acc1"] > 80


def test_a_warm_up_leaves_an_epoch():
    with pytest.raises(ValueError, match="warmup to be less than the 3 epochs"):
        FineTune(epochs=3, warmup=3)
